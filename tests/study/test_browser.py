"""The page in a real Chromium; skipped where there is none."""

import shutil

import numpy as np
import pytest
from served import Served

from medgen.study.answers import answered, read_steps
from medgen.study.study import load_codes, load_study, open_pictures

WAIT_MS = 60_000
# Grey values of a pane where the middles of the picture's pixels are.
GREYS = """([name, rows, cols]) => {
    const canvas = document.querySelector(`canvas[aria-label="${name}"]`);
    const image = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const scale = Math.min(canvas.width / cols, canvas.height / rows);
    const left = (canvas.width - cols * scale) / 2, top = (canvas.height - rows * scale) / 2;
    const greys = [];
    for (let r = 0; r < rows; r++) for (let c = 0; c < cols; c++) {
        const x = Math.floor(left + (c + 0.5) * scale), y = Math.floor(top + (r + 0.5) * scale);
        greys.push(image.data[4 * (y * canvas.width + x)]);
    }
    return greys;
}"""


@pytest.fixture(scope="module")
def prepared(make_study):
    wanted = {"questions": 4, "repeats": 1, "consent": "Of my own free will."}
    return {design: make_study(design=design, **wanted) for design in ("closer", "real")}


@pytest.fixture
def served(request, prepared, tmp_path):
    """Of the design that a test is for; `closer` unless it says."""
    folder = prepared[getattr(request, "param", "closer")]
    served = Served(shutil.copytree(folder, tmp_path / "study"))
    yield served
    served.kill()


class Reader:
    """One reader at a screen."""

    def __init__(self, browser, served, number=0, **screen):
        self.served, self.number = served, number
        self.study = load_study(served.folder)
        self.questions = self.study.readers[number]
        context = browser.new_context(viewport={"width": 1500, "height": 900}, **screen)
        context.set_default_timeout(WAIT_MS)
        self.errors = []
        context.on("weberror", lambda error: self.errors.append(str(error.error)))
        self.page = context.new_page()

    def enter(self):
        self.page.goto(self.served.url)
        self.page.wait_for_selector("#enter:not([hidden])")
        self.page.keyboard.type(load_codes(self.served.folder)[self.number].lower())
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector("#begin:not([hidden])")
        return self

    def begin(self):
        self.page.check("#agree")
        self.page.select_option("#role", "radiation oncologist")
        self.page.fill("#years", "12.5")
        self.page.keyboard.press("Enter")
        return self.at(0)

    def at(self, number):
        """Wait until a question is on the screen and can be answered."""
        if number == len(self.questions):
            self.page.wait_for_selector("#done:not([hidden])")
        else:
            self.page.wait_for_selector(f'#ask:not([hidden])[data-ready="{number}"]')
        return self

    def answer(self, number, key):
        """Answer a question by a key, read the feedback to practice, and wait for the next."""
        self.page.keyboard.press(key)
        if self.questions[number].kind == "practice":
            self.page.wait_for_selector("#feedback-dialog[open]")
            self.page.keyboard.press("Enter")
        return self.at(number + 1)

    def greys(self, name, number):
        """What is shown under a name, `(rows, cols)`."""
        scan = self.study.scans[self.study.pairs[self.questions[number].pair].scan]
        values = self.page.evaluate(GREYS, [name, scan.rows, scan.cols])
        return np.reshape(values, (scan.rows, scan.cols)).astype(float)

    def expected(self, number, window=None):
        """What is to be shown as slice 1 and slice 2, in greys; the reader's own arithmetic."""
        question = self.questions[number]
        pair = self.study.pairs[question.pair]
        scan = self.study.scans[pair.scan]
        level, width = window or scan.window
        values = open_pictures(self.served.folder, scan) * scan.step + scan.low
        greys = np.clip(255 * (values - level + width / 2) / width, 0, 255)
        one, two = pair.pictures[::-1] if question.swapped else pair.pictures
        return greys[one], greys[two], None if pair.target is None else greys[pair.target]


@pytest.mark.parametrize("served", ["closer", "real"], indirect=True)
def test_a_whole_study_by_keys(browser, served):
    """What is shown as 1 is what an answer of 1 is stored for."""
    reader = Reader(browser, served).enter().begin()
    page = reader.page
    for number in range(3):
        reader.answer(number, "ArrowRight")
    count = len(reader.questions)
    for number in range(3, count):
        page.keyboard.press("a")
        one, two, target = reader.expected(number)
        for name, image, other in (("Slice 1", one, two), ("Slice 2", two, one)):
            shown = reader.greys(name, number)
            assert np.abs(shown - image).mean() < min(2, 0.8 * np.abs(shown - other).mean())
        if target is not None:
            assert np.abs(reader.greys("True slice", number) - target).mean() < 2
        reader.answer(number, "12"[number % 2])
    assert page.is_visible("text=All 5 of your answers are stored")
    page.keyboard.press("Control+z")
    reader.at(count - 1).answer(count - 1, "ArrowLeft")
    steps = read_steps(served.folder / "answers.sqlite")
    assert steps[0].note["role"] == "radiation oncologist"
    assert steps[0].note["years"] == 12.5
    assert steps[0].note["screen"]["width"] > 0
    choices = {number: step.choice for number, step in answered(steps).items()}
    expected = {0: 1, 1: 1, 2: 1, **{n: n % 2 for n in range(3, count - 1)}, count - 1: 0}
    assert choices == expected
    assert [step.kind for step in steps].count("undo") == 1
    assert all(0 < s.seconds < 600 for s in steps if s.kind == "answer")
    assert not reader.errors


def test_windows_stack_zoom_and_blinking(browser, served):
    """Keys and mouse act on all panes alike, and none of them answers."""
    reader = Reader(browser, served).enter().begin()
    page = reader.page
    for number in range(3):
        reader.answer(number, "1")
    number = 3
    names = ["Slice 1", "Slice 2", *(["True slice"] if reader.study.design == "closer" else [])]

    def shown():
        return [reader.greys(name, number) for name in names]

    page.keyboard.press("a")
    first = shown()
    page.keyboard.press("ArrowDown")
    below = shown()
    assert all(np.array_equal(below[0], other) for other in below[1:])  # the same acquired slice
    assert not np.array_equal(below, first)
    assert "acquired slice, 1 below" in page.inner_text("#layer")
    page.keyboard.press("ArrowUp")
    assert all(np.array_equal(a, b) for a, b in zip(first, shown(), strict=True))
    box = page.locator("canvas").first.bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.wheel(0, -100)
    assert "acquired slice, 1 above" in page.inner_text("#layer")
    page.mouse.wheel(0, 100)
    before = page.inner_text("#values")
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] + 260)
    page.mouse.up()
    assert page.inner_text("#values") != before
    assert all(not np.array_equal(a, b) for a, b in zip(first, shown(), strict=True))
    page.keyboard.press("+")
    assert "zoom 125 %" in page.inner_text("#values")
    page.keyboard.press("0")
    assert "zoom 100 %" in page.inner_text("#values")
    alone = []
    for _ in range(4):
        page.keyboard.press(" ")
        alone += page.locator("figure:visible canvas").evaluate_all(
            "all => all.map(canvas => canvas.getAttribute('aria-label'))"
        )
    order = ["Slice 1", "True slice", "Slice 2"] if len(names) == 3 else ["Slice 1", "Slice 2"]
    assert alone == (order * 2)[:4]
    page.keyboard.press("Escape")
    assert page.locator("figure:visible").count() == len(names)
    page.keyboard.press("p")
    page.wait_for_selector("#pause-dialog[open]")
    page.keyboard.press("2")  # nothing is answered behind a dialog
    page.keyboard.press("Enter")
    page.focus("figure button")  # and by those who go from button to button
    page.keyboard.press("Enter")
    reader.at(number + 1)
    assert page.evaluate("document.activeElement.textContent").startswith("Choose slice 1")
    steps = read_steps(served.folder / "answers.sqlite")
    assert [step.choice for step in steps[1:]] == [0] * 4
    assert not reader.errors


def test_reload_second_tab_and_two_readers(browser, served):
    one, other = Reader(browser, served, 0).enter(), Reader(browser, served, 1).enter()
    one.begin()
    other.begin()
    for number in range(3):
        one.answer(number, "1")
        other.answer(number, "2")
    one.page.reload()
    one.at(3)
    tab = one.page.context.new_page()
    tab.goto(served.url)
    tab.wait_for_selector('#ask[data-ready="3"]')
    one.answer(3, "1")
    tab.keyboard.press("2")  # of a question that is answered by now
    tab.wait_for_selector('#ask[data-ready="4"]')
    assert "gone on in another window" in tab.inner_text("#notice")
    tab.keyboard.press("2")
    tab.wait_for_selector('#ask[data-ready="5"]')
    steps = read_steps(served.folder / "answers.sqlite")
    choices = [
        {n: step.choice for n, step in answered([s for s in steps if s.reader == r]).items()}
        for r in (0, 1)
    ]
    assert choices == [{0: 0, 1: 0, 2: 0, 3: 0, 4: 1}, {0: 1, 1: 1, 2: 1}]
    assert not one.errors + other.errors


def test_the_server_killed_between_question_and_answer(browser, served):
    """The answer waits in the page, and is stored once when the server is back."""
    reader = Reader(browser, served).enter().begin()
    for number in range(3):
        reader.answer(number, "1")
    served.kill()
    reader.page.keyboard.press("2")
    reader.page.wait_for_selector("#notice:not([hidden])")
    assert "does not answer" in reader.page.inner_text("#notice")
    reader.page.keyboard.press("1")  # it has been chosen
    served.start()
    reader.at(4)
    assert reader.page.is_hidden("#notice")
    steps = read_steps(served.folder / "answers.sqlite")
    assert [step.choice for step in steps if step.question == 3] == [1]
    assert not reader.errors


def test_every_screen_is_accessible_and_small_ones_are_warned_of(browser, served):
    axe_playwright = pytest.importorskip("axe_playwright_python.sync_playwright")
    axe = axe_playwright.Axe()
    reader = Reader(browser, served)
    page = reader.page

    def check(where):
        results = axe.run(page)
        assert results.violations_count == 0, f"{where}:\n{results.generate_report()}"

    page.goto(served.url)
    page.wait_for_selector("#enter:not([hidden])")
    check("entering")
    page.fill("#code", "wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=There is no such code")
    reader.enter()
    check("beginning")
    reader.begin()
    check("a question")
    page.keyboard.press("?")
    page.wait_for_selector("#help-dialog[open]")
    check("help")
    page.keyboard.press("Enter")
    page.keyboard.press("1")
    page.wait_for_selector("#feedback-dialog[open]")
    check("feedback")
    page.keyboard.press("Enter")
    reader.at(1)
    page.set_viewport_size({"width": 300, "height": 330})
    page.wait_for_selector("text=fine detail is lost")
    page.set_viewport_size({"width": 1500, "height": 900})
    for number in range(1, len(reader.questions)):
        reader.answer(number, "1")
    check("the end")
    assert page.is_hidden("#notice")
    assert not reader.errors
