"""The HTML page in a browser: what a click, a key and a finger do. Needs Chromium and its driver; left out without."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pytest

import unrollviz as uz
from unrollviz.draw.text import integer

webdriver = pytest.importorskip("selenium.webdriver")
waiting = pytest.importorskip("selenium.webdriver.support.wait")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no Chromium with its driver on this machine"),
    pytest.mark.xdist_group("chromium"),
]
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1440,900"
)
CANARY = "<img src=x onerror=canary=1></script><script>canary=1</script>{{script}}"


class Reader:
    """Somebody who reads one page."""

    def __init__(self, driver) -> None:
        self.driver = driver

    def open(self, path: Path) -> None:
        self.driver.get(path.as_uri())
        # The page's own script fills it in; the other kind of page has none.
        waiting.WebDriverWait(self.driver, 30).until_not(lambda _: self.all("#summary:empty"))

    def run(self, script: str, *arguments):
        return self.driver.execute_script(script, *arguments)

    def all(self, selector: str):
        return self.driver.find_elements("css selector", selector)

    def one(self, selector: str):
        return self.driver.find_element("css selector", selector)

    def text(self, selector: str) -> str:
        return self.run("return document.querySelector(arguments[0]).textContent", selector)

    def keys(self, *keys: str, into: str | None = None) -> None:
        if into is not None:
            self.run("document.querySelector(arguments[0]).focus({preventScroll: true})", into)
        self.driver.switch_to.active_element.send_keys(*keys)

    def ids(self, selector: str) -> set[str]:
        return set(self.run("return [...document.querySelectorAll(arguments[0])].map((e) => e.id)", selector))

    @property
    def data(self):
        return self.run("return JSON.parse(document.getElementById('data').textContent)")

    @property
    def seen(self) -> list[float]:
        """The part of the picture that is in view."""
        return [float(x) for x in self.run("return document.getElementById('svg').getAttribute('viewBox')").split()]

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield started
    started.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    rng = np.random.default_rng(0)
    lstm = uz.unroll(uz.Network.init("lstm", 3, 2, 3, seed=1), rng.standard_normal((40, 3)), rng.integers(0, 3, 40))
    vocabulary = [CANARY, "javascript:canary=1", "<svg onload=canary=1>", "\"' onfocus=canary=1 autofocus "]
    hostile = uz.unroll(uz.Network.init("elman", 4, 2, 4, seed=1), [0, 1, 2, 3], [1, 2, 3, 0], vocabulary=vocabulary)
    for name, text in {
        "article": uz.article().page(),
        "chosen": uz.article().page(8, losses=None),
        "group": uz.article().page("lag:2"),
        "long": lstm.page(detail="gate"),
        "hostile": hostile.page(title=CANARY),
    }.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def article(driver, pages) -> Reader:
    reader = Reader(driver)
    reader.complaints()
    reader.open(pages / "article.html")
    return reader


ROWS = "#paths tbody tr"
SET = """const e = document.getElementById(arguments[0]);
    e.value = arguments[1]; e.dispatchEvent(new Event('input'))"""
POINT = """document.getElementById(arguments[0])?.dispatchEvent(new PointerEvent('pointerover', {bubbles: true}))"""


def lines_of(reader: Reader, place: int) -> set[str]:
    data = reader.data
    row = next(row for row in data["paths"] if row["place"] == place)
    return {data["edges"][edge]["id"] for edge in row["edges"]}


@pytest.mark.parametrize("name", ["article", "chosen", "group", "long", "hostile"])
def test_opens_without_complaint_and_fetches_nothing(driver, pages, name):
    reader = Reader(driver)
    reader.complaints()
    reader.open(pages / f"{name}.html")
    assert reader.all(ROWS)
    assert reader.complaints() == []
    assert reader.run("return performance.getEntriesByType('resource').length") == 0


def test_a_click_highlights_the_path_and_tells_what_it_contributes(article):
    article.all(ROWS)[8].click()
    assert article.ids(".link.on") == lines_of(article, 9)
    assert [e.text for e in article.all(".count text")] == ["1", "2", "3", "4", "5", "6"]
    assert {e.text for e in article.all(".heading.on text")} == {"t = 4", "t = 3", "t = 2"}
    assert len(article.all("#svg .band")) == 3 and len(article.all("#svg .pen")) == 5
    about = article.text("#about")
    path = uz.article().paths(to="W")[8]
    for words in ("Path 9: L₄ → ŷ₄ → s₄ → s₃ → s₂ → W", "steps 4, 3, 2", "lag 2", f"{path.norm:.4f}", "∂⁺s₂/∂W"):
        assert words in about
    assert len(article.all("#chain li")) == 5
    article.all(ROWS)[8].click()
    assert article.ids(".link.on") == set()


def test_the_table_sorts_filters_and_sums(article):
    article.all("#paths th button")[4].click()
    norms = [float(e.text) for e in article.all(f"{ROWS} td:nth-child(5)")]
    assert norms == sorted(norms, reverse=True) and len(norms) == 15
    assert article.one("#paths th:nth-child(5)").get_attribute("aria-sort") == "descending"
    assert article.all(f"{ROWS} td:nth-child(7)")[-1].text == "+100.0 %"
    for text, rows in {"lag=2": 3, "t=4": 4, "k=1..2 t>3": 4, "s1": 5, "yhat5 s2": 2, "ŷ₅ s₂": 2, "nothing": 0}.items():
        article.run(SET, "filter", text)
        assert len(article.all(ROWS)) == rows, text
    article.keys("/", into="#view")
    assert article.run("return document.activeElement.id") == "filter"
    article.run("document.activeElement.value = ''")
    article.keys("lag=3")
    article.keys("n d", webdriver.Keys.BACKSPACE * 3)  # letters, not commands
    assert article.text("#moment") == "" and article.run("return document.documentElement.dataset.theme ?? ''") == ""
    article.one("#all").click()
    assert article.ids(".link.on") == lines_of(article, 10) | lines_of(article, 14)


def test_the_table_by_keys_alone(article):
    keys = webdriver.Keys
    article.keys(keys.ARROW_DOWN, keys.ARROW_DOWN, into=f"{ROWS}[tabindex='0']")
    assert article.run("return document.activeElement.firstChild.textContent") == "3"
    assert article.ids(".link.on") == lines_of(article, 3)
    article.keys(keys.ENTER)
    assert "Path 3" in article.text("#about")
    assert article.run("return document.activeElement.getAttribute('aria-selected')") == "true"
    article.keys(keys.ESCAPE)
    assert article.ids(".on") == set() and not article.all("#svg.marked")


def test_every_control_can_be_reached_and_shows_where_one_is(article):
    keys = webdriver.Keys
    reached = set()
    for _ in range(30):
        article.keys(keys.TAB)
        reached.add(
            article.run(
                "const e = document.activeElement; return e.id || e.closest('section, header')?.id || e.tagName"
            )
        )
        outline = article.run("return getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid" or article.run("return document.activeElement === document.body")
    wanted = {
        "keys",
        "theme",
        "in",
        "out",
        "fit",
        "view",
        "previous",
        "play",
        "next",
        "cursor",
        "filter",
        "all",
        "paths",
        "matrix",
    }
    assert wanted <= reached | {"paths" for _ in article.all("#paths th button")}


def test_replay_lights_up_what_is_computed_and_then_the_cotangents(article):
    data = article.data
    article.keys("n", into="#view")
    for count in range(1, len(data["moments"]) + 1):
        assert article.text("#moment") == f"{count} / {len(data['moments'])}"
        past = data["moments"][:count]
        computed = {node for moment in data["moments"] if moment["phase"] != "backward" for node in moment["nodes"]}
        known = set(range(len(data["nodes"]))) - computed | {
            node for moment in past if moment["phase"] != "backward" for node in moment["nodes"]
        }
        assert article.ids(".thing.lit:not(.copy)") == {data["nodes"][node]["id"] for node in known}
        crossed = {data["edges"][edge]["id"] for moment in past for edge, _ in moment["handed"]}
        assert article.ids(".link.crossed") == crossed
        article.keys("n")
    norms = [e.text for e in article.all("#svg .badge.back")]
    gradient = uz.article().gradient("W")
    assert f"{np.linalg.norm(gradient):.4f}" in norms
    article.keys("p")
    assert article.text("#moment") == f"{len(data['moments']) - 1} / {len(data['moments'])}"
    article.keys("P")
    assert "L₅ = " in article.text("#about")
    article.keys("P")
    assert article.text("#moment").startswith("10 /")
    article.keys(webdriver.Keys.ARROW_RIGHT, into="#cursor")
    assert "L₁ = 1.5118" in article.text("#about")
    article.keys(webdriver.Keys.ESCAPE)
    assert article.ids(".lit, .cotangent, .crossed, .now") == set() and not article.all(".badge")


def test_play_runs_and_pauses(article):
    article.one("#play").click()
    deadline = time.monotonic() + 20
    while not article.text("#moment").startswith("2 /") and time.monotonic() < deadline:
        time.sleep(0.05)
    article.one("#play").click()
    where = article.text("#moment")
    assert int(where.split()[0]) >= 2 and article.one("#play").text == "Play"
    time.sleep(1)
    assert article.text("#moment") == where


def test_the_matrix_and_the_bars_choose_the_paths_behind_them(article):
    keys = webdriver.Keys
    article.run("document.getElementById('M7').dispatchEvent(new MouseEvent('click', {bubbles: true}))")
    assert len(article.all(ROWS)) == 1
    assert article.ids(".link.on") == lines_of(article, 9)
    article.keys(keys.HOME, keys.ARROW_DOWN, keys.ARROW_DOWN, keys.ARROW_RIGHT, into=".heat svg")
    assert article.one(".heat svg").get_attribute("aria-activedescendant") == "M4"
    assert article.text("#matrix .status") == article.one("#M4").get_attribute("aria-label")
    assert article.text("#matrix .status") == "t = 3, k = 2: norm 0.0680, share +5.6 %, 1 path"
    article.keys(keys.ENTER)
    assert article.ids(".link.on") == lines_of(article, 5)
    article.keys(keys.HOME, keys.ARROW_RIGHT, keys.ARROW_RIGHT, keys.ENTER, into="#lag .bars svg")
    assert len(article.all(ROWS)) == 3 and article.one("#filter").get_attribute("value") == "lag=2"
    fill = "return getComputedStyle(document.getElementById('M14')).fill"
    before = article.run(fill)
    article.one("input[value=share]").click()
    assert article.run(fill) != before


def test_pan_and_zoom_by_keys_wheel_and_finger(article):
    keys = webdriver.Keys
    start = article.seen
    article.keys("+++", into="#view")
    near = article.seen
    assert near[2] < start[2] and near[0] > start[0]
    article.keys(keys.ARROW_RIGHT)
    assert article.seen[0] > near[0] and article.seen[2] == near[2]
    article.keys("0")
    assert article.seen == start
    wheel = """document.getElementById('view').dispatchEvent(
        new WheelEvent('wheel', {deltaY: -100, ctrlKey: arguments[0], cancelable: true, bubbles: true}))"""
    assert article.run("return " + wheel, False) is True and article.seen == start  # the page scrolls
    assert article.run("return " + wheel, True) is False and article.seen[2] < start[2]
    touch = """const [id, type, x, y] = arguments;
        document.getElementById('view').dispatchEvent(new PointerEvent(type,
            {pointerId: id, pointerType: 'touch', clientX: x, clientY: y, bubbles: true}))"""
    article.keys("0")
    article.run(touch, 1, "pointerdown", 300, 300)
    article.run(touch, 2, "pointerdown", 400, 300)
    article.run(touch, 2, "pointermove", 500, 300)
    assert article.seen[2] == pytest.approx(start[2] / 2)
    wide = article.seen
    article.run(touch, 2, "pointerup", 500, 300)
    article.run(touch, 1, "pointermove", 250, 300)
    assert article.seen[0] > wide[0]
    article.run(touch, 1, "pointerup", 250, 300)


def test_nodes_tell_value_and_cotangent(article):
    keys = webdriver.Keys
    shape = next(node["id"] for node in article.data["nodes"] if node["name"] == "s3")
    article.run(POINT, shape)
    assert "s₃: state at step 3" in article.text("#about") and "s₃ = tanh(U x₃ + W s₂ + b)" in article.text("#about")
    assert "cotangent ∂L/∂s₃, norm 0.4347" in article.text("#about")
    article.keys(keys.SHIFT + keys.ARROW_RIGHT, into="#view")
    assert "s₄: state at step 4" in article.text("#about")
    article.keys(keys.SHIFT + keys.ARROW_UP)
    assert "ŷ₄: output at step 4" in article.text("#about")


def test_light_and_dark(article):
    paper = "return getComputedStyle(document.getElementById('stage')).backgroundColor"
    shape = "return getComputedStyle(document.querySelector('.state ellipse')).fill"
    light = article.run(paper), article.run(shape)
    assert light[0] == "rgb(255, 255, 255)"
    article.keys("d", into="#view")
    dark = article.run(paper), article.run(shape)
    assert all(a != b for a, b in zip(light, dark, strict=True))
    article.one("#theme").click()
    assert (article.run(paper), article.run(shape)) == light
    article.driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    article.driver.refresh()
    assert (article.run(paper), article.run(shape)) == dark
    article.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert (article.run(paper), article.run(shape)) == light
    article.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


def test_a_phone_is_wide_enough(article):
    size = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    article.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    article.driver.refresh()
    assert article.run("return document.documentElement.scrollWidth") <= 390
    article.all(ROWS)[8].click()
    assert article.ids(".link.on") == lines_of(article, 9)
    article.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_pages_open_with_what_was_asked_for(driver, pages):
    reader = Reader(driver)
    reader.open(pages / "chosen.html")
    assert "Path 9" in reader.text("#about") and reader.ids(".link.on") == lines_of(reader, 9)
    reader.open(pages / "group.html")
    assert "lag 2: 3 of 15 paths" in reader.text("#about")
    assert reader.ids(".link.on") == lines_of(reader, 6) | lines_of(reader, 9) | lines_of(reader, 13)


def test_paths_beyond_number_are_counted_and_the_heaviest_proved(driver, pages):
    reader = Reader(driver)
    reader.open(pages / "long.html")
    summary = reader.text("#summary")
    assert "the 100 heaviest of" in summary and "exact: no heavier path was missed" in summary
    assert integer(int(reader.data["count"])) in summary
    spans = reader.data["spans"]
    hidden = [any(span["first"] <= row["loss"] <= span["last"] for span in spans) for row in reader.data["paths"]]
    assert not any(hidden[:3])  # the heaviest are drawn
    folded = hidden.index(True) + 1
    reader.all(ROWS)[folded - 1].click()
    assert reader.all(".span.on") and "are folded in the picture" in reader.text("#about")
    reader.keys("N", into="#view")
    reader.keys("p")
    reader.run(SET, "cursor", 1e6)
    data = reader.data
    assert reader.ids(".link.crossed") == {
        data["edges"][edge]["id"] for moment in data["moments"] for edge, _ in moment["handed"]
    } - {None}


def test_labels_never_run(driver, pages):
    reader = Reader(driver)
    reader.open(pages / "hostile.html")
    for key in ("n", "N", "N", webdriver.Keys.ESCAPE):
        reader.keys(key, into="#view")
    for row in reader.all(ROWS)[:3]:
        row.click()
    for node in reader.data["nodes"]:
        reader.run(POINT, node["id"])
    assert reader.run("return typeof canary") == "undefined"
    assert reader.run("return [document.scripts.length, document.images.length]") == [2, 0]
    assert reader.text("h1") == CANARY
    assert reader.complaints() == []
    # and were one to slip in, the policy would stop it
    reader.run("const s = document.createElement('script'); s.textContent = 'canary = 1'; document.body.append(s)")
    reader.run(
        "const d = document.createElement('div'); d.innerHTML = '<img src=x onerror=canary=1>'; document.body.append(d)"
    )
    time.sleep(0.2)
    assert reader.run("return typeof canary") == "undefined"
    assert len([said for said in reader.complaints() if "Content Security Policy" in said]) >= 2


# The page of a training run


@pytest.fixture
def learnt(driver, tmp_path) -> Reader:
    rng = np.random.default_rng(0)
    data = rng.standard_normal((6, 4, 3)), rng.integers(0, 2, (6, 4))
    network = uz.Network.init("lstm", 3, 4, 2, seed=1)
    trained = uz.train(network, data, epochs=5, every=1, watch=("W_f", "U_i"))
    (tmp_path / "history.html").write_text(trained.page(title=CANARY), encoding="utf-8")
    reader = Reader(driver)
    reader.complaints()
    reader.open(tmp_path / "history.html")
    return reader


BARS = """return [...document.querySelectorAll(arguments[0] + ' rect:not(.first)')].map((e) => e.textContent)"""
MARKER = """return +document.querySelector('#loss .marker').getAttribute('x1')"""


def test_the_slider_moves_marker_and_bars_by_mouse_and_keys(learnt):
    data = learnt.data
    shares = data["watched"][0]["bars"]["lag"]["shares"]
    last = len(shares) - 1

    def at_record(record: int) -> None:
        told = [words.split(": ")[1] for words in learnt.run(BARS, "#by-lag")]
        assert len(told) == 6
        for words, share in zip(told, shares[record], strict=True):
            value = float(words.removesuffix(" %").replace("−", "-"))
            assert value == pytest.approx(100 * share, abs=0.051)
        assert f"update {data['updates'][record]} of 5" in learnt.text("#moment")
        assert f"{data['losses'][record]:.4f}" in learnt.text("#moment")

    at_record(last)
    right = learnt.run(MARKER)
    learnt.run(SET, "cursor", 1)
    at_record(1)
    assert learnt.run(MARKER) < right
    learnt.keys("n")
    at_record(2)
    learnt.keys("p", "p")
    at_record(0)
    assert learnt.one("#previous").get_property("disabled")
    learnt.keys(webdriver.Keys.END)
    at_record(last)
    learnt.keys(webdriver.Keys.ARROW_LEFT, into="#cursor")
    at_record(last - 1)
    learnt.one("#previous").click()
    at_record(last - 2)
    box = learnt.one("#reach svg").rect
    chain = webdriver.ActionChains(learnt.driver)
    chain.move_to_element_with_offset(learnt.one("#reach svg"), -box["width"] // 2 + 50, 0).click().perform()
    at_record(0)
    learnt.keys(" ", into="body")
    assert learnt.text("#play") == "Pause"
    end = time.monotonic() + 20
    while learnt.text("#play") == "Pause" and time.monotonic() < end:
        time.sleep(0.1)
    at_record(last)
    learnt.run("const e = document.getElementById('param'); e.value = 1; e.dispatchEvent(new Event('change'))")
    shares = data["watched"][1]["bars"]["lag"]["shares"]
    at_record(last)
    assert learnt.text("h1") == CANARY
    assert learnt.run("return window.canary === undefined")
    assert learnt.complaints() == []
    assert learnt.run("return performance.getEntriesByType('resource').length") == 0
