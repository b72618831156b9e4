"""Pages in a real browser: no error, nothing loaded, figures with a text, a table that sorts, room on a phone."""

import base64
import dataclasses
import io
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from typer.testing import CliRunner

from labelcontrast.cli.verbs import app
from labelcontrast.lab.comparison_report import write_comparison_report
from labelcontrast.metrics.measures import compute_metrics, per_label_table
from labelcontrast.metrics.registry import METRICS
from labelcontrast.reports.pages import write_run_report
from labelcontrast.reports.summary import EmbeddingScatter, RunSummary
from labelcontrast.reports.tables import NOTHING, printable


@pytest.fixture
def run_page(run, tmp_path: Path) -> Path:
    write_run_report(tmp_path / "report.html", run)
    return tmp_path / "report.html"


@pytest.fixture
def comparison_page(comparison, tmp_path: Path) -> Path:
    write_comparison_report(tmp_path / "report.html", comparison)
    return tmp_path / "report.html"


def fetched(browser: webdriver.Chrome) -> set[str]:
    """The addresses requested since the last call; not those of the browser's own first tab."""
    entries = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [entry["params"]["request"]["url"] for entry in entries if entry["method"] == "Network.requestWillBeSent"]
    return {address.split(",")[0] for address in sent if not address.startswith("chrome://")}


def column(browser: webdriver.Chrome, place: int) -> list[str]:
    cells = browser.find_elements(By.CSS_SELECTOR, f"#per-label tbody tr > :nth-child({place})")
    return [cell.get_attribute("textContent").strip() for cell in cells]


@pytest.mark.parametrize("page", ["run_page", "comparison_page"])
def test_a_page_opens_without_an_error_and_loads_nothing(browser, request, page: str) -> None:
    path = request.getfixturevalue(page)
    fetched(browser)
    browser.get(path.as_uri())
    assert browser.get_log("browser") == []
    assert fetched(browser) <= {path.as_uri(), "data:image/png;base64", "data:image/jpeg;base64"}
    drawings = browser.find_elements(By.CSS_SELECTOR, "figure svg[role=img], figure img")
    assert len(drawings) >= 5
    for drawing in drawings:
        assert len(drawing.get_attribute("aria-label") or drawing.get_attribute("alt")) > 20
        assert drawing.size["width"] > 200
        assert drawing.size["height"] > 100


def test_the_page_of_a_run_shows_its_results_and_command(browser, run_page, run) -> None:
    browser.get(run_page.as_uri())
    assert browser.title == browser.find_element(By.TAG_NAME, "h1").text == run.title
    headlines = [element.text for element in browser.find_elements(By.CSS_SELECTOR, ".headline b")]
    assert headlines == ["73.12 %", "41.27 %", "55.61 %"]
    assert browser.find_element(By.TAG_NAME, "pre").text == run.command
    text = browser.find_element(By.TAG_NAME, "body").text
    for piece in (run.warnings[0], "4 min 12 s", "loss.temperature", "2.15.0", "8,400 / 800 / 2,800"):
        assert piece in text
    assert "labels_scored" not in text


def test_the_table_of_labels_sorts_both_ways_with_unknown_values_last(browser, run_page, run) -> None:
    browser.get(run_page.as_uri())
    assert column(browser, 1) == [row["label"] for row in run.per_label]
    name, count, *_, precision, _ = browser.find_elements(By.CSS_SELECTOR, "#per-label thead button")
    count.click()
    by_count = [int(text.replace(",", "")) for text in column(browser, 2)]
    assert by_count == sorted(by_count, reverse=True)
    count.click()
    assert column(browser, 2)[0] == "0"
    head = browser.find_elements(By.CSS_SELECTOR, "#per-label thead th")[1]
    assert head.get_attribute("aria-sort") == "ascending"
    for _ in range(2):
        precision.click()
        values = column(browser, 7)
        known = [float(text) for text in values if text != NOTHING]
        assert known in (sorted(known), sorted(known, reverse=True))
        assert set(values[len(known) :]) == {NOTHING}
        assert NOTHING not in values[: len(known)]
    name.click()
    assert column(browser, 1)[0] == "<script>alert(1)</script> & sons"


@pytest.mark.parametrize("page", ["run_page", "comparison_page"])
def test_a_page_fits_the_width_of_a_phone(browser, request, page: str) -> None:
    browser.get(request.getfixturevalue(page).as_uri())
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
        assert browser.execute_script("return getComputedStyle(document.querySelector('p')).fontSize") == "15px"
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_examples_show_inputs_and_labels_the_mistakes_first_and_marked_in_words(browser, run_page, run) -> None:
    browser.get(run_page.as_uri())
    cards = browser.find_elements(By.CSS_SELECTOR, ".example")
    assert [card.find_element(By.CSS_SELECTOR, ".id").get_attribute("textContent") for card in cards] == [
        one["id"] for one in (*run.examples.mistakes, *run.examples.successes)
    ]
    assert "1,312 of 2,800 test examples" in browser.find_element(By.TAG_NAME, "body").text
    true, predicted = cards[0].find_elements(By.CSS_SELECTOR, "dd")
    assert true.text.splitlines() == ["✗ Kurtas <b> 3 %, missed", "✓ Shirts 98 %"]
    assert predicted.text.splitlines() == ["✗ Topwear 91 %, wrong", "? Ties 60 %, unknown", "✓ Shirts 98 %"]
    assert "</p><script>alert(1)</script>" in cards[0].text
    picture = cards[1].find_element(By.TAG_NAME, "img")
    assert picture.get_attribute("alt") == "Test picture shop/1, true labels: Kurtas <b>, Shirts"
    assert browser.execute_script("return arguments[0].naturalHeight", picture) == 128
    assert "2 more labels are not shown" in cards[8].text
    assert [card.is_displayed() for card in cards] == [True] * 6 + [False] * 2 + [True]
    more = browser.find_element(By.CSS_SELECTOR, ".more summary")
    assert more.text == "2 more"
    more.click()
    assert all(card.is_displayed() for card in cards)


def test_the_tree_opens_and_the_length_of_each_bar_is_f1(browser, run_page, run) -> None:
    browser.get(run_page.as_uri())
    rows = browser.find_elements(By.CSS_SELECTOR, ".tree summary, .tree .leaf")
    assert len(rows) == 1 + len(run.hierarchy.nodes)  # one has two parents
    assert all(row.is_displayed() for row in rows)
    f1 = {row["node"].rpartition("/")[2]: row["f1"] for row in run.hierarchy.nodes if row["support"]}
    measured = 0
    for row in rows:
        name = row.find_element(By.CSS_SELECTOR, ".node").text.rpartition("/")[2]
        bars = row.find_elements(By.CSS_SELECTOR, ".gauge i")
        value = row.find_element(By.CSS_SELECTOR, ".value").text
        assert value == (f"{100 * f1[name]:.1f}" if name in f1 else NOTHING)
        for bar in bars:
            whole = row.find_element(By.CSS_SELECTOR, ".gauge").size["width"]
            assert bar.size["width"] == pytest.approx(f1[name] * whole, abs=1)
            measured += 1
    assert measured > 30
    assert "<b>red" in [row.find_element(By.CSS_SELECTOR, ".node").text for row in rows]
    browser.find_element(By.CSS_SELECTOR, ".tree summary").click()
    assert not rows[1].is_displayed()


def test_a_point_of_the_map_says_what_it_is_and_frequent_labels_differ_by_colour_and_shape(
    browser, run_page, run
) -> None:
    browser.get(run_page.as_uri())
    points = browser.find_elements(By.CSS_SELECTOR, ".plane path")
    titles = [one.get_attribute("textContent") for one in browser.find_elements(By.CSS_SELECTOR, ".plane title")]
    assert len(points) == 1600
    assert sorted(titles) == sorted(run.embedding.titles)
    legend = browser.find_elements(By.CSS_SELECTOR, ".legend li")
    frequent = [name for name, _ in Counter(filter(None, run.embedding.labels)).most_common(7)]
    assert [one.text for one in legend] == [*frequent, "other labels"]
    paths = [one.find_element(By.TAG_NAME, "path") for one in legend]
    assert len({path.get_attribute("fill") for path in paths}) == 8
    assert len({path.get_attribute("d") for path in paths}) == 7
    first, last = points[0], points[-1]
    assert first.get_attribute("fill") == paths[-1].get_attribute("fill")
    assert last.get_attribute("fill") == paths[-2].get_attribute("fill")
    xs, ys = run.embedding.coordinates.T
    for place in (3, 1000):
        across = 100 * (xs[place] - xs.min()) / np.ptp(xs)
        up = 70 - 70 * (ys[place] - ys.min()) / np.ptp(ys)
        drawn = points[titles.index(run.embedding.titles[place])].get_attribute("d")
        assert drawn.startswith(f"M{round(across, 2)} {round(up, 2)}m")


def test_mistaken_labels_have_what_they_are_confused_with_and_a_curve_with_the_threshold(
    browser, run_page, run
) -> None:
    browser.get(run_page.as_uri())
    rows = browser.find_elements(By.CSS_SELECTOR, "#confused tbody tr")
    assert rows[1].text == f"Shirts 30 20 Tshirts 7, <b>red 2 10 {NOTHING}"
    assert len(rows) == len(run.mistaken)
    curves = browser.find_elements(By.CSS_SELECTOR, ".curve svg")
    assert len(curves) == len(run.mistaken) - 1  # one has no positive example
    said = "Precision over recall of Shirts. Precision 75.00 %, recall 60.00 % at the threshold 0.378."
    assert curves[0].get_attribute("aria-label") == said
    points = curves[0].find_elements(By.TAG_NAME, "circle")
    assert [one.get_attribute("cx") for one in points] == ["100.00", "60.00", "20.00", "60.00"]
    assert float(points[-1].get_attribute("cy")) == pytest.approx(70 * 0.25)
    shown = points[0].find_element(By.TAG_NAME, "title").get_attribute("textContent")
    assert shown == "threshold 0.000: precision 10.00 %, recall 100.00 %"


@pytest.mark.parametrize("page", ["run_page", "comparison_page"])
def test_nothing_is_cut_off_in_print(browser, request, page: str) -> None:
    browser.get(request.getfixturevalue(page).as_uri())
    # A4 between margins of 1 cm, at the 96 pixels an inch of CSS.
    size = {"width": 718, "height": 1046, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        cut = browser.execute_script("""
            return [...document.querySelectorAll("html, .scroll, .tall, .drawing, .panels, .example, table, svg, img")]
              .filter((one) => one.getBoundingClientRect().right > 719 || (getComputedStyle(one).overflowX !== "visible"
                && (one.scrollWidth > one.clientWidth + 1 || one.scrollHeight > one.clientHeight + 1)))
              .map((one) => `${one.tagName} ${one.className} ${one.id}`)""")
        assert cut == []
        assert browser.execute_script("return getComputedStyle(document.body).fontSize") == "14px"  # 10.5 points
        paper = browser.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})
        assert base64.b64decode(paper["data"]).startswith(b"%PDF")
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_the_page_of_a_large_run_is_below_five_megabytes(tmp_path: Path, run) -> None:
    random = np.random.default_rng(0)
    file = io.BytesIO()
    Image.fromarray(random.integers(0, 256, (128, 128, 3), dtype=np.uint8)).save(file, format="JPEG", quality=85)
    picture = "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
    example = {**run.examples.mistakes[0], "picture": picture, "text": "x" * 400}
    rows = [{**run.per_label[0], "label": f"a label of some length {place}"} for place in range(20_000)]
    nodes = [{"node": row["label"], "parents": [], "support": 3, "f1": 0.5} for row in rows]
    scatter = EmbeddingScatter(
        coordinates=random.normal(size=(2000, 2)),
        labels=[row["label"] for row in rows[:2000]],
        method="UMAP",
        titles=["x" * 200] * 2000,
    )
    curve = [(place / 60, place / 60, place / 60) for place in range(61)]
    large = dataclasses.replace(
        run,
        per_label=rows,
        embedding=scatter,
        examples=dataclasses.replace(run.examples, mistakes=[example] * 24, successes=[example] * 6),
        mistaken=[dataclasses.replace(one, curve=curve) for one in run.mistaken],
        hierarchy=dataclasses.replace(run.hierarchy, nodes=nodes),
    )
    write_run_report(tmp_path / "report.html", large)
    page = (tmp_path / "report.html").read_text()
    assert 1_000_000 < len(page.encode()) < 5_000_000
    assert page.count("a label of some length") < 7000
    assert "These are the first 3,000 labels; per_label.json has all 20,000." in page
    assert "per_node.json has the F1 of each of the 20,000 nodes." in page


def test_the_page_of_a_comparison_shows_best_losses_failures_and_links(browser, comparison_page) -> None:
    browser.get(comparison_page.as_uri())
    best = browser.find_elements(By.CSS_SELECTOR, "#results tbody tr:nth-child(4) td.best")
    assert len(best) == 7
    assert len(browser.find_elements(By.CSS_SELECTOR, "#results td.best")) == 7
    assert "loss became NaN at step 118" in browser.find_element(By.ID, "failures").text
    assert "2 of 3" in browser.find_element(By.CSS_SELECTOR, "#results tbody tr:nth-child(2)").text
    links = [link.get_attribute("href") for link in browser.find_elements(By.CSS_SELECTOR, "#runs a")]
    assert len(links) == 11
    assert links[0] == (comparison_page.parent / "bce-0" / "report.html").as_uri()


HOSTILE = (
    "<script>document.title='owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "'; alert(1); '",
    "\u202eevil.txt",
    "\x1b[31mred\x1b[0m",
    f"very long {'x' * 300}",
    '=HYPERLINK("http://example.org","click")',
    "{{7*7}}${7*7}",
    "</style></svg><style>*{display:none}</style>",
    "[a](javascript:alert(1))",
    "猫",
)
"""Names of labels, and texts, that a page, a browser or a template would obey."""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the pages of a run, a comparison and a study on hostile labels and texts, in a file of a hostile name."""
    folder = tmp_path_factory.mktemp("hostile")
    data = folder / "<img src=x onerror=document.title='owned'>.jsonl"
    rows = [
        {"id": f"<b>{name}", "text": f"{name} word{place} {number}", "labels": [name, HOSTILE[place - 1]]}
        for number in range(14)
        for place, name in enumerate(HOSTILE)
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = {"encoder.name": "hashed", "evaluation.views": "probe", "training.epochs": 1, "training.batch_size": 32}
    settings = [word for name, value in given.items() for word in ("--set", f"{name}={value}")]
    for words in (["train"], ["compare", "--losses", "bce", "--seeds", "1"], ["study", "losses", "--losses", "bce"]):
        out = ["--out", str(folder / words[0]), *(["--seeds", "1"] if words[0] == "study" else [])]
        assert CliRunner().invoke(app, [*words, str(data), *out, *settings]).exit_code == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["train", "compare", "study"])
def test_hostile_names_and_texts_are_shown_and_not_obeyed(browser, hostile: Path, verb: str) -> None:
    path = hostile / verb / "report.html"
    fetched(browser)
    browser.get(path.as_uri())
    assert "<img src=x onerror=document" in browser.title
    assert browser.get_log("browser") == []
    assert fetched(browser) <= {path.as_uri(), "data:image/png;base64"}
    assert len(browser.find_elements(By.TAG_NAME, "script")) == (verb == "train")
    assert browser.find_elements(By.CSS_SELECTOR, "img[src=x], a[href^=javascript], main b b, body > style") == []
    assert browser.find_element(By.TAG_NAME, "h1").is_displayed()
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    written = path.read_text(encoding="utf-8")
    assert "\x1b" not in written
    assert "\u202e" not in re.sub(r"<svg.*?</svg>", "", written, flags=re.DOTALL)
    if verb == "train":
        assert set(column(browser, 1)) == {printable(name) for name in HOSTILE}


def test_a_run_with_only_a_title_has_a_page(browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_run_report(path, RunSummary(title="empty & <b>", command="labelcontrast train x", measures=[], metrics={}))
    browser.get(path.as_uri())
    assert browser.get_log("browser") == []
    assert browser.find_element(By.TAG_NAME, "h1").text == "empty & <b>"
    assert browser.find_elements(By.TAG_NAME, "figure") == []


def test_the_page_shows_what_evaluation_computes(tmp_path: Path) -> None:
    labels = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]])
    scores = np.array([[0.9, 0.2, 0.1], [0.6, 0.7, 0.3], [0.2, 0.4, 0.6]])
    table = per_label_table(
        ["a", "b", "c"], labels, scores, scores > 0.5, train_counts=np.array([9, 3, 0]), thresholds=np.full(3, 0.5)
    )
    summary = RunSummary(
        title="t",
        command="c",
        measures=list(METRICS.values()),
        metrics={"test": compute_metrics(labels, scores, scores > 0.5)},
        per_label=[dataclasses.asdict(row) for row in table],
    )
    write_run_report(tmp_path / "report.html", summary)
    page = (tmp_path / "report.html").read_text()
    assert all(metric.meaning.replace("'", "&#39;") in page for metric in METRICS.values())
    assert ">66.67</td>" in page
