"""The web page in a real browser: it works, loads nothing from elsewhere, fits a phone, and axe finds nothing."""

import io
import json
import os
import re
from pathlib import Path

import axe_playwright_python
import httpx2 as httpx
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

import labelcontrast as lc

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
TEXT = "the striker and a late goal"
PAGES = ["/", "/?run=colours", "/?run=run", "/page/tests", "/page/labels", "/page/label?name=sports"]
pytestmark = pytest.mark.slow


def wait(browser: webdriver.Chrome, until) -> None:
    WebDriverWait(browser, 30).until(lambda _: until())


def show(browser: webdriver.Chrome, *, width: int, scheme: str) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def ask(browser: webdriver.Chrome, text: str) -> None:
    browser.find_element(By.ID, "input").send_keys(text)
    browser.find_element(By.CSS_SELECTOR, "#try button").click()
    wait(browser, lambda: browser.find_element(By.ID, "state").text not in ("", "Computing …"))


def problems(browser: webdriver.Chrome) -> list[str]:
    # Given by the driver, not by the page: the policy of the page would not load it.
    browser.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE})
    found = browser.execute_async_script("const done = arguments[0]; axe.run().then((found) => done(found.violations))")
    return [f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1600])
def test_axe_finds_nothing_and_every_page_fits(
    browser, server: str, picture_run: Path, width: int, scheme: str
) -> None:
    show(browser, width=width, scheme=scheme)
    given = {"/": TEXT, "/?run=colours": str(picture_run.parent / "0.png"), "/?run=run": "1 -1 2 0 0 0 0 0"}
    for page in PAGES:
        browser.get(server + page)
        if page in given:
            ask(browser, given[page])
        assert problems(browser) == [], page
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width, page
        if folder := os.environ.get("LABELCONTRAST_SCREENSHOTS"):
            name = "".join(letter if letter.isalnum() else "-" for letter in page)
            height = browser.execute_script("return document.documentElement.scrollHeight")
            size = {"width": width, "height": min(height, 3000), "deviceScaleFactor": 1, "mobile": width < 500}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            browser.save_screenshot(f"{folder}/{name}-{width}-{scheme}.png")
            show(browser, width=width, scheme=scheme)


def test_a_text_is_predicted_by_keyboard_with_reasons_neighbours_and_place(
    browser, server: str, text_run: Path
) -> None:
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(server)
    browser.find_element(By.ID, "input").send_keys(TEXT, Keys.TAB, Keys.ENTER)
    wait(browser, lambda: browser.find_element(By.ID, "state").text.startswith(("Predicted", "No label")))
    model = lc.load(text_run)
    (row,) = lc.predict(model, [TEXT], top=3)
    shown = [cell.text for cell in browser.find_elements(By.CSS_SELECTOR, "#scores tbody th")]
    assert shown == list(row["scores"])
    first = browser.find_elements(By.CSS_SELECTOR, "#scores tbody tr:first-child td")
    assert first[0].text == f"{100 * next(iter(row['scores'].values())):.1f} %"
    parts = model.view_contributions([TEXT])
    column = model.vocabulary.column[shown[0]]
    expected = [f"{part[0, column]:+.2f}".replace("-", "\u2212") for part in parts.values()]
    assert [cell.text for cell in first[4:]] == expected
    assert len(browser.find_elements(By.CSS_SELECTOR, "#near .example")) == 6
    Select(browser.find_element(By.ID, "why")).select_by_visible_text("sports")
    reason = model.explain([TEXT], ["sports"])[0].labels[0]
    effects = [f"{part.name} {part.effect:+.2f}".replace("-", "\u2212") for part in reason.parts]
    assert [one.text for one in browser.find_elements(By.CSS_SELECTOR, "#effects li")] == effects
    assert {one.text for one in browser.find_elements(By.CSS_SELECTOR, "#parts mark")} == set(TEXT.split())
    for place, near in (("for", reason.supporting), ("against", reason.opposing)):
        cards = browser.find_elements(By.CSS_SELECTOR, f"#{place} .example")
        assert [card.text.split("cosine ")[1] for card in cards] == [f"{one.similarity:.3f}" for one in near]
    assert len(browser.find_elements(By.CSS_SELECTOR, "#map path")) == 1
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {one["params"]["request"]["url"] for one in events if one["method"] == "Network.requestWillBeSent"}
    own = (server, "data:", "chrome:")  # the last are the pages that the browser opens with
    assert [address for address in asked if not address.startswith(own)] == []


def test_the_cells_of_a_picture_are_shown_over_it(browser, server: str, picture_run: Path) -> None:
    picture = next(path for path in picture_run.parent.glob("*.png"))
    browser.get(f"{server}/?run=colours")
    ask(browser, str(picture))
    reason = lc.load(picture_run).explain([picture], top=1)[0].labels[0]
    cells = browser.find_elements(By.CSS_SELECTOR, "#parts i")
    assert len(cells) == len(reason.parts)
    row, column = map(int, re.findall(r"\d+", reason.parts[0].name))
    assert cells[0].value_of_css_property("grid-area").startswith(f"{row + 1} / {column + 1}")


def test_a_refusal_is_shown(browser, server: str) -> None:
    browser.get(f"{server}/?run=run")
    ask(browser, "1, 2")
    assert browser.find_element(By.ID, "state").text == "vectors[0] must have 8 numbers. Got 2."


def test_the_slider_counts_what_a_threshold_changes(browser, server: str, text_run: Path) -> None:
    from labelcontrast.metrics.measures import Outputs

    outputs, model = Outputs.load(text_run / "test.safetensors"), lc.load(text_run)
    column = model.vocabulary.column["sports"]
    true, scores = outputs.labels[:, column] > 0, outputs.scores[:, column]
    browser.get(f"{server}/page/label?name=sports")
    slider = browser.find_element(By.ID, "threshold")
    slider.send_keys(Keys.HOME)
    line = browser.find_element(By.ID, "change").text
    assert f"precision {100 * true[scores > 0].mean():.1f} %, recall 100.0 %" in line
    assert line.startswith(f"At 0.0 %: {int(true.sum())}")
    slider.send_keys(Keys.END)
    assert "recall 0.0 %" in browser.find_element(By.ID, "change").text


def test_the_table_sorts_and_leads_to_a_label(browser, server: str) -> None:
    browser.get(f"{server}/page/labels")
    browser.find_elements(By.CSS_SELECTOR, "#per-label thead button")[2].click()
    support = [cell.text for cell in browser.find_elements(By.CSS_SELECTOR, "#per-label tbody td:nth-child(3)")]
    assert list(map(int, support)) == sorted(map(int, support), reverse=True)
    link = browser.find_element(By.CSS_SELECTOR, "#per-label tbody a")
    name = link.text
    link.click()
    assert browser.find_element(By.TAG_NAME, "h1").text == name


def test_the_worst_mistakes_come_first(browser, server: str) -> None:
    browser.get(f"{server}/page/tests?run=colours")
    cards = browser.find_elements(By.CSS_SELECTOR, ".example")
    wrong = [bool(card.find_elements(By.CSS_SELECTOR, ".wrong")) for card in cards]
    assert wrong == sorted(wrong, reverse=True)
    assert browser.execute_script("return document.querySelector('.example img').naturalHeight") == 24


@pytest.mark.parametrize(
    ("run", "content", "field"),
    [
        ("news", "a late goal\nrain\n", "text"),
        ("news", '{"text": "a late goal"}\n{"text": "rain"}\n', "text"),
        ("news", 'id,text\n1,"a late, late\ngoal"\n2,rain\n', "text"),
        ("run", "1,2,3,4,5,6,7,8\n8,7,6,5,4,3,2,1\n", "vector"),
    ],
)
def test_a_file_comes_back_labelled(client: httpx.Client, run: str, content: str, field: str) -> None:
    answer = client.post("/page/upload", data={"run": run}, files={"files": ("file", content.encode())})
    rows = [json.loads(line) for line in answer.text.splitlines()]
    expected = client.post("/predict", json={"run": run, f"{field}s": [row[field] for row in rows]}).json()
    assert [row["labels"] for row in rows] == [row["labels"] for row in expected["predictions"]]
    assert len(rows) == 2


@pytest.mark.parametrize(
    ("run", "content", "message"),
    [
        ("news", b"\xff\xfe", "the file is not UTF-8 text."),
        ("news", b'{"text": "a"}\n{"no": 1}', 'line 2 has no field "text".'),
        ("news", b'{"text": "a"}\n{', "line 2 is not JSON."),
        ("run", b"1,x", "line 1 is not numbers between commas."),
        ("news", b"", "a file may hold 1 to 50,000 examples. Got 0."),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(client: httpx.Client, run: str, content: bytes, message: str) -> None:
    answer = client.post("/page/upload", data={"run": run}, files={"files": ("file", content)})
    assert (answer.status_code, answer.json()["error"]["message"]) == (422, message)


def test_an_unknown_label_or_start_is_refused(client: httpx.Client) -> None:
    answer = client.get("/page/label", params={"name": "sprots"})
    assert answer.json()["error"]["message"] == 'there is no label "sprots" (did you mean "sports"?).'
    assert client.get("/page/tests", params={"start": "-1"}).json()["error"]["code"] == "bad_field"


PICTURES = {
    "try": "/",
    "try-picture": "/?run=colours",
    "tests": "/page/tests",
    "labels": "/page/labels",
    "label": "/page/label?name=sports",
    "report": "report.html",
}
"""The pages whose pictures are in the docs, by the names of their files."""


def test_the_docs_have_a_picture_of_every_page(browser, server: str, text_run: Path, picture_run: Path) -> None:
    """Take them anew with ``LABELCONTRAST_SCREENSHOTS`` set."""
    docs = Path(__file__).parents[2] / "docs"
    written = "".join(page.read_text() for page in docs.glob("*.md"))
    for name, page in PICTURES.items():
        path = docs / "pictures" / f"{name}.png"
        if os.environ.get("LABELCONTRAST_SCREENSHOTS"):
            show(browser, width=1000, scheme="light")
            browser.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
            browser.get((text_run / page).as_uri() if name == "report" else server + page)
            if name.startswith("try"):
                ask(browser, TEXT if name == "try" else str(picture_run.parent / "0.png"))
            height = browser.execute_script("return document.documentElement.scrollHeight")
            size = {"width": 1000, "height": min(height, 3400), "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            taken = Image.open(io.BytesIO(browser.get_screenshot_as_png()))
            taken.convert("RGB").quantize(64).save(path, optimize=True)
        assert path.stat().st_size < 150_000, name
        assert f"](pictures/{name}.png)" in written
    assert {path.stem for path in (docs / "pictures").iterdir()} == set(PICTURES)
