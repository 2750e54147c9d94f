"""From texts and their design to vectors."""

from __future__ import annotations

import pytest
import torch

from selfsteer.errors import DatasetError, VectorError
from selfsteer.steering.capture import capture
from selfsteer.steering.extraction.design import Contrast, Design
from selfsteer.steering.extraction.factorial import fit_factorial
from selfsteer.steering.extraction.factorial_vectors import factorial_vectors
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.vectors import SteeringVector

WORDS = {
    ("dog", "en"): "dog",
    ("dog", "fr"): "chien",
    ("sun", "en"): "sun",
    ("sun", "de"): "Sonne",
    ("tree", "fr"): "arbre",
    ("tree", "de"): "Baum",
    ("tree", "en"): "tree",
}
DESIGN = Design({"tongue": [tongue for _, tongue in WORDS]}, [item for item, _ in WORDS])
EXAMPLES = [Example(prompt=Prompt.chat("Say it."), completion=word) for word in WORDS.values()]


def test_a_vector_for_each_contrast_with_its_provenance(llama: Student) -> None:
    vectors = factorial_vectors(llama, EXAMPLES, DESIGN)
    assert [str(contrast) for contrast in vectors] == [
        f"tongue: {level} - mean of levels" for level in ("de", "en", "fr")
    ]
    activations = capture(llama, EXAMPLES)
    fit = fit_factorial(activations.values, DESIGN)
    for contrast, vector in vectors.items():
        direction, errors = fit.contrast(contrast)
        for place, layer in enumerate(vector.layers):
            torch.testing.assert_close(vector.directions[layer], direction[place].float())
            assert vector.notes["standard_error"][str(layer)] == pytest.approx(
                float(errors[place].norm())
            )
            norm = activations.norms[place].mean()
            assert vector.residual_norms[layer] == pytest.approx(float(norm), rel=1e-5)
        assert vector.method == "factorial"
        assert vector.concept == str(contrast)
        vector.check_student(llama)
        assert SteeringVector.from_bytes(vector.to_bytes()) == vector


def test_chosen_contrasts_over_shared_activations(llama: Student) -> None:
    swap = Contrast("tongue", "fr", "en")
    shared = capture(llama, EXAMPLES, [-1, 1])
    (vector,) = factorial_vectors(
        llama, EXAMPLES, DESIGN, contrasts=[swap], activations=shared
    ).values()
    assert vector.layers == (-1, 1)
    alone = factorial_vectors(llama, EXAMPLES, DESIGN, contrasts=[swap], layers=[-1, 1])
    assert alone == {swap: vector}
    other = factorial_vectors(
        llama, EXAMPLES, Design(DESIGN.attributes), contrasts=[swap], activations=shared
    )
    assert other[swap].dataset_id != vector.dataset_id


def test_two_texts_give_a_vector_without_a_standard_error(llama: Student) -> None:
    design = Design({"tongue": ("en", "fr")})
    (vector,) = factorial_vectors(llama, EXAMPLES[:2], design, layers=[0]).values()
    assert vector.concept == "tongue: fr - en"
    assert vector.notes["standard_error"] == {"0": None}


def test_bad_input(llama: Student) -> None:
    with pytest.raises(DatasetError, match="describes 7 texts, not 6"):
        factorial_vectors(llama, EXAMPLES[:6], DESIGN)
    with pytest.raises(VectorError, match="makes no difference at the tokens of 'prompt'"):
        factorial_vectors(llama, EXAMPLES[:2], Design({"t": ("a", "b")}), selector="prompt")
