"""`python -m medgen`: the same as `medgen`."""

from medgen.cli import main

main(prog_name="medgen")
