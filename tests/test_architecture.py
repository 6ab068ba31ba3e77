"""Imports point one way, and TensorFlow stays out of what does without it."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

import medgen
from medgen.bundles.families import FAMILIES
from medgen.intensities.modality import MODALITIES

ROOT = Path(medgen.__file__).parent
TENSORFLOW = {"tensorflow", "tensorflow_probability", "tf_keras"}
HEAVY = TENSORFLOW | {"keras", "jax"}
# The only files that name TensorFlow or JAX; everything else runs on any backend of Keras.
KNOW_A_BACKEND = {
    "medgen.backends",
    "medgen.families.conditional.serve",
    "medgen.families.espcn.serve",
    "medgen.families.pixelminer.serve",
    "medgen.families.two_stage.serve",
    "medgen.families.vqvae.serve",
    "medgen.likelihoods.tfp",
    "medgen.serving.export",
    "medgen.serving.graph",
    "medgen.serving.outside",
    "medgen.serving.rest",
    "medgen.serving.batches",
    "medgen.serving.signatures",
    "medgen.training.step_tensorflow",
    "medgen.training.steps_jax",
    "medgen.training.workers",
}


def module_name(path: Path) -> str:
    parts = ["medgen", *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def statements(body: list[ast.stmt], inside: bool) -> Iterator[ast.stmt]:
    """Statements that run on import, and those inside functions too if asked for."""
    for node in body:
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not inside:
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue  # for readers and type checkers alone
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                yield from statements([child], inside)
            elif isinstance(child, ast.ExceptHandler | ast.match_case):
                yield from statements(child.body, inside)


@cache
def imports(module: str, inside: bool = True) -> frozenset[str]:
    """Dotted names that a module imports; of medgen's, the modules they lie in."""
    names = set()
    for node in statements(ast.parse(SOURCES[module].read_text()).body, inside):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in SOURCES else node.module for name in full}
    return frozenset(names)


@cache
def loads(module: str) -> frozenset[str]:
    """Everything that importing a module of medgen imports, as far as medgen's own files say."""
    seen, ahead = set(), [module]
    while ahead:
        name = ahead.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in SOURCES:
            parents = [".".join(name.split(".")[:n]) for n in range(1, name.count(".") + 1)]
            ahead += [*imports(name, inside=False), *parents]
    return frozenset(seen)


def part(module: str) -> str:
    """The folder or file of medgen that a module belongs to."""
    return [*module.split("."), ""][1]


def modules(*parts: str) -> list[str]:
    found = [module for module in SOURCES if part(module) in parts]
    assert {part(module) for module in found} == set(parts)
    return found


def parts_seen_by(*parts: str) -> set[str]:
    names = {name for module in modules(*parts) for name in imports(module)}
    return {part(name) for name in names if name.split(".")[0] == "medgen"} - set(parts) - {""}


def heavy(names: frozenset[str]) -> set[str]:
    return {name.split(".")[0] for name in names} & HEAVY


def test_no_two_files_of_tests_share_a_name():
    """They are modules beside each other to pytest, which collects the first alone."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert [name for name in names if names.count(name) > 1] == []


def test_the_walk_sees_what_is_known():
    """Of one file: an import on top, one inside a function, and what they bring along."""
    assert "medgen.bundles.bundle" in imports("medgen.interpolation")
    assert "medgen.bundles.bundle" not in imports("medgen.interpolation", inside=False)
    assert "keras" in loads("medgen.bundles.bundle")
    assert "medgen.errors" in loads("medgen.examples.stacks")
    assert heavy(loads("medgen.families.two_stage.serve")) >= {"tensorflow", "keras"}


# What each part imports of the others, apart from `errors`: from the ground up.
MAY_IMPORT = {
    "errors": set(),
    "storage": set(),
    "recipes": set(),
    "intensities": set(),
    "likelihoods": {"backends"},
    "layers": set(),
    "memory": set(),
    "tiling": set(),
    "backends": set(),
    "processes": set(),
    "web": set(),
    "volumes": {"storage", "intensities", "memory"},
    "phantoms": {"volumes"},
    "profiles": {"volumes"},
    "nets": {"layers", "likelihoods"},
    "examples": {"degradation", "volumes", "intensities"},
    "images": {"volumes"},
    "degradation": set(),
    "evaluation": {
        "degradation",
        "volumes",
        "intensities",
        "storage",
        "processes",
        "profiles",
    },
    "bundles": {"storage", "recipes", "intensities"},
    "sampling": {"backends", "layers", "likelihoods", "nets", "examples", "recipes"},
    "interpolation": {"volumes", "intensities", "bundles"},
    "superresolution": {"interpolation", "volumes", "intensities", "bundles", "tiling"},
    "jobs": {
        "adaptation",
        "interpolation",
        "superresolution",
        "evaluation",
        "bundles",
        "volumes",
        "intensities",
        "storage",
        "memory",
        "processes",
    },
    "adaptation": {
        "bundles",
        "evaluation",
        "examples",
        "families",
        "intensities",
        "interpolation",
        "memory",
        "profiles",
        "sampling",
        "training",
        "volumes",
    },
    "study": {"evaluation", "volumes", "intensities", "storage", "web"},
    "viewing": {"interpolation", "jobs", "volumes", "web"},
    "training": {"backends", "examples", "images", "volumes", "intensities", "storage", "recipes"},
    "machine_reader": {"backends", "evaluation", "examples", "nets", "training"},
    "doctor": {"backends", "sampling", "layers", "bundles"},
    "serving": {"bundles", "sampling", "intensities", "storage", "web"},
}


def test_imports_point_one_way():
    graph = defaultdict(set)
    for module in SOURCES:
        for name in imports(module):
            if name in SOURCES and part(name) not in ("", part(module)):
                graph[part(module)].add(part(name))
    # Raises where there is a circle.
    assert list(TopologicalSorter(graph).static_order())[-2:] == ["cli", "__main__"]


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_a_part_sees_what_the_table_says(name):
    """And no less: what is no longer needed leaves the table."""
    assert parts_seen_by(name) - {"errors"} == MAY_IMPORT[name]


def test_the_table_of_families_names_what_is_there():
    """Strings, as the families lie above the bundles that know them."""
    for kind, place in FAMILIES.items():
        module, name = place.split(":")
        assert not heavy(loads(module)), module
        assert getattr(import_module(module), name).kind == kind


MOST_LINES_OF_FILES, MOST_LINES_OF_FUNCTIONS = 400, 60


def functions(module: str) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, list[str]]]:
    """Functions of a module, and their lines but for docstring, comments and empty ones."""
    lines = SOURCES[module].read_text().splitlines()
    for node in ast.walk(ast.parse(SOURCES[module].read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0].end_lineno if ast.get_docstring(node) else node.body[0].lineno - 1
            own = lines[node.lineno - 1 : node.body[0].lineno - 1] + lines[first : node.end_lineno]
            yield node, [line for line in own if line.strip() and line.lstrip()[0] != "#"]


@pytest.mark.parametrize("module", SOURCES)
def test_files_and_functions_are_short(module):
    """A function may be longer where a comment right above it, `# Long: ...`, says why."""
    lines = SOURCES[module].read_text().splitlines()
    assert len(lines) <= MOST_LINES_OF_FILES
    for node, own in functions(module):
        says_why = lines[node.lineno - 2].lstrip().startswith("# Long: ")
        assert says_why or len(own) <= MOST_LINES_OF_FUNCTIONS, f"{node.name}, {len(own)} lines"
        assert not says_why or len(own) > MOST_LINES_OF_FUNCTIONS, f"{node.name} is short"


def test_nobody_imports_the_command_line():
    others = {part(module) for module in SOURCES} - {"cli", "__main__", ""}
    assert "cli" not in parts_seen_by(*others)


@pytest.mark.parametrize(
    "name",
    [
        "errors",
        "intensities",
        "storage",
        "volumes",
        "examples",
        "evaluation",
        "recipes",
        "study",
        "images",
    ],
)
def test_tensorflow_and_keras_are_not_needed_by(name):
    for module in modules(name):
        assert not heavy(imports(module)), module
        assert not heavy(loads(module)), module


@pytest.mark.parametrize("name", ["layers", "nets"])
def test_every_backend_of_keras_runs(name):
    for module in modules(name):
        assert heavy(imports(module)) <= {"keras"}, module
        assert heavy(loads(module)) <= {"keras"}, module


def test_only_a_few_files_know_a_backend():
    knowing = {module for module in SOURCES if heavy(imports(module)) - {"keras"}}
    assert knowing == KNOW_A_BACKEND


def test_no_kind_of_scan_is_asked_for_by_name():
    """`medgen.intensities.modality` says what differs, so a new kind is right everywhere."""
    for module, path in SOURCES.items():
        if part(module) == "intensities":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare):
                values = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
                assert not values & set(MODALITIES), f"{module}, line {node.lineno}"


def test_commands_load_tensorflow_only_when_they_run():
    for module in (*modules("cli", "jobs"), "medgen.interpolation"):
        assert not heavy(loads(module)), module


def test_help_of_commands_loads_no_numpy():
    for module in modules("cli"):
        assert "numpy" not in loads(module), module
