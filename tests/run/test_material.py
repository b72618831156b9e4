"""What an experiment is made of: splits, labels and an encoder that agree with one another."""

from pathlib import Path

from labelcontrast.config.settings import RunSettings
from labelcontrast.run.material import gather, introduce


def test_labels_and_encoder_fit_the_examples(vectors: Path) -> None:
    heard: list[str] = []
    material = gather(RunSettings.build({"data": str(vectors)}), heard.append)
    assert heard == introduce(material.data)
    assert {name: len(part) for name, part in material.labels.items()} == {"train": 168, "val": 24, "test": 48}
    expected = material.splits.vocabulary.encode(material.splits.test.label_sets or []).toarray()
    assert (material.labels["test"] == expected).all()
    inputs, _ = material.prepared["val"].batch([0, 1, 2])
    assert material.encoder(inputs).shape == (3, material.encoder.output_dim)
