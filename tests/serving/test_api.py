"""The API over a real server: the answers are those of the model, and every refusal has its status and line."""

import base64
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import httpx2 as httpx
import numpy as np
import pytest
import uvicorn
from PIL import Image

import labelcontrast as lc
from labelcontrast.serving.server import _bound

TEXTS = ["the striker and a late goal", "a close vote", "rain"]
TOKEN = "a-token-of-the-tests"


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (200, 20, 0)).save(file, "PNG")
    return file.getvalue()


def refusal(answer: httpx.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    assert error["status"] == answer.status_code
    assert "\n" not in error["message"]
    return answer.status_code, error["code"], error["message"]


def test_predictions_and_embeddings_are_those_of_the_model(client: httpx.Client, text_run: Path) -> None:
    model = lc.load(text_run)
    answer = client.post("/predict", json={"texts": TEXTS}).json()
    expected = list(lc.predict(model, TEXTS))
    assert answer["run"] == "news"
    assert [row["labels"] for row in answer["predictions"]] == [row["labels"] for row in expected]
    for row, right in zip(answer["predictions"], expected, strict=True):
        assert row["scores"] == pytest.approx(right["scores"], abs=1e-5)
    embedded = client.post("/embed", json={"texts": TEXTS}).json()["embeddings"]
    np.testing.assert_allclose(embedded, model.embed(TEXTS), atol=1e-5)


def test_top_and_thresholds_are_those_of_the_request(client: httpx.Client) -> None:
    body = {"texts": TEXTS[:1], "top": 3, "thresholds": 0.0}
    (row,) = client.post("/predict", json=body).json()["predictions"]
    assert len(row["scores"]) == len(row["labels"]) == 3
    assert list(row["scores"].values()) == sorted(row["scores"].values(), reverse=True)
    body["thresholds"] = {"sports": 1.0, "politics": 0.0, "weather": 0.0}
    (row,) = client.post("/predict", json=body).json()["predictions"]
    assert sorted(row["labels"]) == ["politics", "weather"]


def test_vectors_and_pictures_are_predicted_too(client: httpx.Client, reg_run: Path, picture_run: Path) -> None:
    rows = np.random.default_rng(1).normal(size=(2, 8)).round(3)
    answer = client.post("/predict", json={"run": reg_run.name, "vectors": rows.tolist()}).json()
    expected = lc.load(reg_run).predict_sets(rows)
    assert [row["labels"] for row in answer["predictions"]] == expected
    paths = [picture_run.parent / "0.png", picture_run.parent / "1.png"]
    expected = lc.load(picture_run).predict_sets(paths)
    files = [("pictures", (path.name, path.read_bytes())) for path in paths]
    answer = client.post("/predict", data={"run": "colours", "top": "2"}, files=files).json()
    assert [row["labels"] for row in answer["predictions"]] == expected
    encoded = [base64.b64encode(path.read_bytes()).decode() for path in paths]
    again = client.post("/predict", json={"run": "colours", "top": 2, "pictures": encoded}).json()
    assert again == answer


def test_explanations_and_neighbours_are_those_of_the_model_with_their_inputs(
    client: httpx.Client, text_run: Path
) -> None:
    model = lc.load(text_run)
    read = [json.loads(line) for line in (text_run.parent / "news.jsonl").read_text().splitlines()]
    rows = [(row["text"], set(row["labels"])) for row in read]
    answer = client.post("/explain", json={"texts": TEXTS, "top": 2, "parts": 4, "near": 1}).json()
    for found, right in zip(answer["examples"], model.explain(TEXTS, top=2, most=4, near=1), strict=True):
        assert len(found["place"]) == 2
        for label, expected in zip(found["labels"], json.loads(json.dumps(right.as_row()))["labels"], strict=True):
            for side in ("supporting", "opposing"):
                (near,), (known,) = label.pop(side), expected.pop(side)
                assert near.pop("similarity") == pytest.approx(known.pop("similarity"), abs=1e-5)
                assert (near.pop("text"), set(near["labels"])) in rows
                assert near.pop("id")
                assert near == known
            parts = [
                [(one["name"], round(one["effect"], 4)) for one in both.pop("parts")] for both in (label, expected)
            ]
            assert parts[0] == parts[1]
            assert label.pop("contributions") == pytest.approx(expected.pop("contributions"), abs=1e-5)
            terms = [[one["name"] for one in both.pop("terms")] for both in (label, expected)]
            assert terms[0] == terms[1]
            assert label == pytest.approx(expected, abs=1e-5)
    (found,) = client.post("/neighbours", json={"texts": TEXTS[:1], "count": 3}).json()["neighbours"]
    assert [one["row"] for one in found] == [one.row for one in model.neighbours(TEXTS[:1], 3)[0]]
    own, near = model.embed([TEXTS[0], found[0]["text"]])
    cosine = own @ near / (own @ own) ** 0.5 / (near @ near) ** 0.5
    assert found[0]["similarity"] == pytest.approx(cosine, abs=1e-3)


def test_near_examples_are_named_by_their_row_without_the_data_and_refused_without_the_view(text_run: Path) -> None:
    from labelcontrast.serving.inputs import as_request_error
    from labelcontrast.serving.runs import ServedRun

    run = ServedRun.load(text_run, with_data=False)
    found = run.neighbours(TEXTS[:1], count=2)[0]
    run.results.show(found)
    assert [set(one) for one in found] == [{"row", "labels", "similarity"}] * 2
    bare = replace(run, model=replace(run.model, other_views={}, blend=None))
    with pytest.raises(lc.errors.RunError, match="this model has no view of neighbours") as refused:
        bare.neighbours(TEXTS[:1], count=2)
    assert as_request_error(refused.value).status == 409


@pytest.mark.parametrize(
    ("body", "status", "code", "message"),
    [
        ({"texts": ["x"] * 9}, 422, "too_many_examples", "send at most 8 examples in one request. Got 9."),
        ({"texts": ["x" * 1001]}, 422, "text_too_long", "texts[0] must have at most 1,000 characters. Got 1,001."),
        ({"texts": []}, 422, "wrong_kind", "this run reads texts: send at least one. Got nothing."),
        ({"vectors": [[1.0]]}, 422, "wrong_kind", "this run reads texts: send at least one. Got vectors."),
        ({"texts": "x"}, 422, "bad_field", "texts: Input should be a valid array."),
        ({"text": ["x"]}, 422, "bad_field", "text: Extra inputs are not permitted."),
        ({"texts": ["x"], "top": 0}, 422, "bad_field", "top: Input should be greater than or equal to 1."),
        ({"texts": ["x"], "thresholds": {"sprots": 1}}, 422, "unknown_label", '"sprots" (did you mean "sports"?).'),
        ({"texts": ["x"], "run": "nws"}, 404, "unknown_run", 'no run "nws" (did you mean "news"?)'),
        ({"run": "run", "vectors": [[1.0]]}, 422, "wrong_width", "vectors[0] must have 8 numbers. Got 1."),
        ({"run": "run", "vectors": [[1e300] * 8]}, 422, "number_too_large", "too large for 32 bits."),
        ({"run": "colours", "pictures": ["/etc/passwd"]}, 422, "not_base64", "must be the file of a picture"),
        ({"run": "colours", "pictures": ["AAAA"]}, 422, "not_a_picture", "[0] cannot be read; is it a picture?"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_refused(client: httpx.Client, body: dict, status: int, code: str, message: str) -> None:
    found = refusal(client.post("/predict", json=body))
    assert found[:2] == (status, code)
    assert message in found[2]


def test_what_is_no_request_is_refused(client: httpx.Client) -> None:
    json_type = {"content-type": "application/json"}
    assert refusal(client.post("/predict", content=b"{", headers=json_type))[:2] == (400, "bad_json")
    deep = b'{"texts": ' + b"[" * 100_000
    assert refusal(client.post("/predict", content=deep, headers=json_type))[0] in (400, 422)
    nan = refusal(client.post("/predict", content=b'{"run": "run", "vectors": [[NaN]]}', headers=json_type))
    assert nan[:2] == (422, "bad_field")
    assert refusal(client.post("/predict", content=b"x"))[:2] == (415, "unknown_type")
    bad = {"content-type": "multipart/form-data; boundary=x"}
    assert refusal(client.post("/predict", content=b"--y", headers=bad))[0] in (400, 422)
    assert refusal(client.get("/nothing"))[:2] == (404, "unknown_path")
    assert refusal(client.get("/predict"))[:2] == (405, "wrong_method")
    assert refusal(client.get("/health", headers={"host": "evil.example"}))[:2] == (421, "unknown_host")


def test_a_body_is_refused_by_its_header_and_while_it_arrives(client: httpx.Client) -> None:
    large = {"texts": ["x" * 2**20]}
    assert refusal(client.post("/predict", json=large))[:2] == (413, "body_too_large")
    pieces = (b"x" * 2**16 for _ in range(20))  # without a content-length
    answer = client.post("/predict", content=pieces, headers={"content-type": "application/json"})
    assert refusal(answer) == (413, "body_too_large", "the body must have at most 1,048,576 bytes.")


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(client: httpx.Client) -> None:
    files = {"pictures": ("large.png", png(1001, 1000))}
    found = refusal(client.post("/predict", data={"run": "colours"}, files=files))
    assert found == (422, "too_many_pixels", "pictures[0] must have at most 1,000,000 pixels. Got 1,001,000.")
    cut = {"pictures": ("cut.png", png(60, 60)[:-30])}
    good = {"pictures": ("good.png", png(60, 60))}
    status, _, line = refusal(client.post("/predict", data={"run": "colours"}, files=cut))
    assert status == 422
    assert "the picture cannot be read" in line
    assert client.post("/predict", data={"run": "colours"}, files=good).status_code == 200


def test_labels_health_readiness_and_metrics(client: httpx.Client, text_run: Path) -> None:
    found = client.get("/labels").json()
    model = lc.load(text_run)
    assert [row["label"] for row in found["labels"]] == list(model.labels)
    assert [row["threshold"] for row in found["labels"]] == model.thresholds.values.tolist()
    assert client.get("/health").json() == {"status": "ok"}
    ready = client.get("/ready").json()
    assert [(run["run"], run["kind"]) for run in ready["runs"]] == [
        ("news", "text"),
        ("colours", "image"),
        ("run", "vector"),
    ]
    client.post("/predict", json={"texts": TEXTS})
    counts = client.get("/metrics").text
    assert 'labelcontrast_requests_total{path="/predict",status="200"}' in counts
    assert 'labelcontrast_examples_total{path="/predict",run="news"}' in counts
    assert "labelcontrast_batch_examples_bucket" in counts


def test_the_openapi_description_has_examples_that_are_valid(client: httpx.Client) -> None:
    found = client.get("/openapi.json").json()
    post = found["paths"]["/predict"]["post"]
    content = post["requestBody"]["content"]
    assert set(content) == {"application/json", "multipart/form-data"}
    (example,) = content["application/json"]["schema"]["examples"]
    assert client.post("/predict", json=example).status_code == 200
    assert {"413", "422", "429"} <= set(post["responses"])
    assert "/admin/reload" not in found["paths"]


def test_every_answer_forbids_other_addresses(client: httpx.Client) -> None:
    for answer in (client.get("/health"), client.get("/nothing")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.slow
def test_a_token_is_asked_for_and_a_run_is_swapped_without_a_lost_request(
    serving, text_run: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "news"
    shutil.copytree(text_run, folder)
    with serving(folder, "--log-content", token=TOKEN, log=tmp_path / "log") as (process, address):
        assert refusal(httpx.post(f"{address}/predict", json={"texts": TEXTS}))[:2] == (401, "no_token")
        assert refusal(httpx.get(f"{address}/metrics", headers={"authorization": "Bearer x"}))[0] == 401
        assert httpx.get(f"{address}/ready").status_code == 200
        assert httpx.get(f"{address}/labels", auth=("any", TOKEN)).status_code == 200
        assert refusal(httpx.post(f"{address}/admin/reload", auth=("any", TOKEN)))[0] == 401
        headers = {"authorization": f"Bearer {TOKEN}"}
        found: list[tuple[int, str]] = []
        ended = threading.Event()

        def ask() -> None:
            with httpx.Client(base_url=address, headers=headers, timeout=30) as client:
                while not ended.is_set():
                    answer = client.post("/predict", json={"texts": TEXTS})
                    found.append((answer.status_code, answer.json()["version"]))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        # The manifest goes with the first step: a folder without one has another version.
        (folder / "manifest.json").unlink()
        answer = httpx.post(f"{address}/admin/reload", headers=headers, timeout=60)
        assert answer.status_code == 200
        (folder / "model.safetensors").write_bytes(b"damaged")
        assert "is damaged" in refusal(httpx.post(f"{address}/admin/reload", headers=headers, timeout=60))[2]
        process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        ended.set()
        for thread in threads:
            thread.join()
        assert {status for status, _ in found} == {200}
        versions = list(dict.fromkeys(version for _, version in found))
        assert len(versions) == 2
        assert answer.json() == {"runs": [{"run": "news", "version": versions[1]}]}
    text = (tmp_path / "log").read_text()
    assert "the old version stays" in text
    assert TEXTS[0] in text
    assert TOKEN not in text


@pytest.mark.slow
def test_sigterm_drains_and_the_log_has_no_content(serving, text_run: Path, tmp_path: Path) -> None:
    with serving(text_run, log=tmp_path / "log") as (process, address):
        assert httpx.post(f"{address}/predict", json={"texts": TEXTS}).status_code == 200
        body = json.dumps({"texts": TEXTS}).encode()
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as half:  # a request whose body is still on its way
            head = f"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            half.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:5])
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{address}/health")
            half.sendall(body[5:])
            assert half.recv(2**16).startswith(b"HTTP/1.1 200")
        assert process.wait(30) == 0
    text = (tmp_path / "log").read_text()
    assert "POST /predict 200" in text
    assert "striker" not in text


@pytest.mark.slow
def test_open_requests_are_limited(serving, text_run: Path, tmp_path: Path) -> None:
    with serving(text_run, "--max-requests", 1, log=tmp_path / "log") as (_, address):
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as half:
            head = f"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            half.sendall(f"{head}Content-Length: 100\r\n\r\n".encode())
            time.sleep(0.5)
            answer = httpx.post(f"{address}/predict", json={"texts": TEXTS})
            assert refusal(answer) == (429, "too_many_requests", "1 requests are open already; try again later.")
            assert answer.headers["retry-after"] == "1"
            assert httpx.get(f"{address}/ready").status_code == 200
        time.sleep(0.3)
        assert httpx.post(f"{address}/predict", json={"texts": TEXTS}).status_code == 200


def refused(*arguments: object) -> str:
    words = [sys.executable, "-m", "labelcontrast", "serve", *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr.splitlines()[-1].removeprefix("labelcontrast: ")


def test_small_answers_are_sent_at_once() -> None:
    with _bound(uvicorn.Config("app", host="127.0.0.1", port=0)) as bound:
        # asyncio turns off Nagle's delay, 40 ms, on sockets that are of this protocol by name
        assert bound.proto == socket.IPPROTO_TCP


def test_the_figures_of_speed_are_those_of_their_result() -> None:
    root = Path(__file__).parents[2]
    found = json.loads((root / "benchmarks" / "results" / "serving.json").read_text())
    page = (root / "docs" / "serving.md").read_text().split("## Speed")[1].split("## In a container")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")]
    expected = [
        [name, clients, *(f"{row[key]:.1f}" for key in ("requests/s", "p50 ms", "p99 ms")), f"{times[clients]:.2f}"]
        for name, times in found["times the bare handler"].items()
        for clients, row in found["servers"][name].items()
    ]
    assert rows[2:] == expected
    answers, memory = found["soak"]["answers"], found["soak"]["MB each minute"]
    assert set(answers["right"]) == {"200"}
    for number in (answers["right"]["200"], sum(answers["wrong"].values()), memory[0], memory[1], memory[-1]):
        assert f"{number:,} " in page.replace("\n", " ")
    before = json.loads((root / "benchmarks" / "results" / "serving_litserve.json").read_text())[
        "times the bare handler"
    ]
    litserve, own = (list(before[name].values()) for name in ("LitServe 0.2.19, /embed", "labelcontrast, /embed"))
    assert "it served {:.2f}, {:.2f} and {:.2f} times".format(*litserve) in page
    assert "this server {:.2f}, {:.2f} and {:.2f}.".format(*own) in page


@pytest.mark.slow
def test_what_cannot_be_served_is_refused(text_run: Path, tmp_path: Path) -> None:
    shutil.copytree(text_run, tmp_path / "copy" / "news")
    line = refused(text_run, tmp_path / "copy" / "news", tmp_path / "none")
    assert line == 'two runs have the name "news": rename a folder.'
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert refused(text_run, "--port", port) == f"cannot bind 127.0.0.1:{port}: Address already in use."


@pytest.mark.parametrize(
    ("host", "token", "message"),
    [
        ("0.0.0.0", None, "--host 0.0.0.0 can be reached from other machines: set a token in the variable"),
        ("127.0.0.1", "short", "LABELCONTRAST_TOKEN must have at least 16 characters. Got 5."),
    ],
)
def test_a_wide_address_needs_a_token(host: str, token: str | None, message: str) -> None:
    from labelcontrast.serving.server import check_address

    with pytest.raises(lc.errors.ConfigError, match="^" + message):
        check_address(host, token)


def test_a_missing_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from labelcontrast.serving import server

    monkeypatch.setattr(server, "find_spec", lambda _: None)
    with pytest.raises(
        lc.errors.MissingExtraError, match=r"serve needs an extra .*pip install 'labelcontrast\[serve\]'"
    ):
        server.check_address("127.0.0.1", None)
    assert os.environ.get("LABELCONTRAST_TOKEN") is None
