"""What setup.cfg cannot say: the trained models in models/ are installed as medgen/released/."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["medgen*"]), "medgen.released"],
    package_dir={"medgen.released": "models"},
    package_data={
        "medgen": ["py.typed"],
        "medgen.released": ["*/*"],
        "medgen.evaluation": ["templates/*.html"],
        "medgen.study": ["page/*", "templates/*.html"],
        "medgen.jobs": ["references.bib"],
        "medgen.viewing": ["page/*"],
    },
)
