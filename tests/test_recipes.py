"""Recipes come from a name or a file, survive JSON, and refuse what makes no sense."""

import json
from dataclasses import replace

import pytest

from medgen.errors import RecipeError
from medgen.families.conditional.recipe import CONDITIONAL_RECIPES
from medgen.families.pixelminer.presets import PIXELMINER_RECIPES
from medgen.families.pixelminer.recipe import PixelMinerRecipe
from medgen.families.pixelminer_published.recipe import PixelMinerPublishedRecipe
from medgen.families.two_stage.recipe import PRIOR_RECIPES, PriorRecipe
from medgen.families.vqvae.recipe import VQVAE_RECIPES, VQVAERecipe
from medgen.recipes import named_recipe, recipe_from_json, to_json


@pytest.mark.parametrize("family", [VQVAE_RECIPES, PRIOR_RECIPES, PIXELMINER_RECIPES])
def test_every_recipe_survives_json(family):
    for name, recipe in family.items():
        assert named_recipe(family, name) is recipe
        assert recipe_from_json(type(recipe), json.loads(json.dumps(to_json(recipe)))) == recipe


def test_the_first_and_second_stage_of_a_name_fit_together():
    """The prior learns on crops of the size that the VQ-VAE's crops have in codes, or smaller."""
    assert VQVAE_RECIPES.keys() == PRIOR_RECIPES.keys()
    oasis = VQVAE_RECIPES["oasis-80"]
    assert (oasis.image_size, oasis.compression) == (80, 4)
    assert PRIOR_RECIPES["oasis-80"].crop == 80 // 4


def test_a_file_changes_the_default(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('{"filters": 24, "learning_rate": 1, "image_size": 40}')
    expected = replace(VQVAERecipe(), filters=24, learning_rate=1, image_size=40)
    assert named_recipe(VQVAE_RECIPES, str(path)) == expected
    path.write_text('{"image_size": null}')
    assert named_recipe(VQVAE_RECIPES, str(path)) == VQVAERecipe()


def test_a_file_may_start_from_another_recipe(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('{"from": "small", "filters": 24}')
    assert named_recipe(PRIOR_RECIPES, str(path)) == replace(PRIOR_RECIPES["small"], filters=24)
    path.write_text('{"from": "pixelminer-paper", "layers": 2}')
    assert named_recipe(PIXELMINER_RECIPES, str(path)) == PixelMinerPublishedRecipe(layers=2)
    for start in ('"large"', "[]"):
        path.write_text(f'{{"from": {start}}}')
        with pytest.raises(RecipeError, match="the recipes are default, oasis-80, small"):
            named_recipe(PRIOR_RECIPES, str(path))


def test_the_published_recipe():
    paper = PIXELMINER_RECIPES["pixelminer-paper"]
    assert (paper.levels, paper.context, paper.filters, paper.layers) == (256, 1, 128, 1)
    assert (paper.mixtures, paper.dropout, paper.crop) == (10, 0.5, 64)
    assert (paper.batch_size, paper.learning_rate) == (18, 8e-6)
    assert "context" not in to_json(paper)
    with pytest.raises(RecipeError, match="levels must be at least 2, got 1"):
        PixelMinerPublishedRecipe(levels=1)
    with pytest.raises(RecipeError, match="crop must be even, got 33"):
        PixelMinerPublishedRecipe(crop=33)


def test_a_name_wins_over_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small").write_text('{"filters": 7}')
    assert named_recipe(PRIOR_RECIPES, "small") is PRIOR_RECIPES["small"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{filters: 24}", "not a recipe in JSON"),
        ("", "not a recipe in JSON"),
        ("[24]", r"JSON object of fields and values, got \[24\]"),
        ('{"filter": 24, "speed": 1}', "no field filter, speed; its fields are filters, "),
        ('{"blocks": 4}', "no field blocks"),
        ('{"filters": 0}', "filters must be a whole number above 0, got 0"),
        ('{"filters": 2.0}', "filters must be a whole number above 0, got 2.0"),
        ('{"filters": "24"}', "filters must be a whole number above 0, got '24'"),
        ('{"filters": true}', "filters must be a whole number above 0, got True"),
        ('{"filters": null}', "filters must be a whole number above 0, got None"),
        ('{"image_size": -3}', "image_size must be a whole number above 0, got -3"),
        ('{"image_size": 80.5}', "image_size must be a whole number above 0, got 80.5"),
        ('{"commitment_cost": -1}', "commitment_cost must be a finite number, 0 or more, got -1"),
        ('{"learning_rate": NaN}', "learning_rate must be a finite number, 0 or more, got nan"),
        ('{"learning_rate": 1e999}', "learning_rate must be a finite number, 0 or more, got inf"),
        ('{"learning_rate": 0}', "learning_rate must be above 0"),
        ('{"decay": 1.0}', "decay must be below 1, got 1.0"),
        ('{"compression": 3}', "compression must be 2, 4 or 8, got 3"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path, text, words):
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(RecipeError, match=words):
        named_recipe(VQVAE_RECIPES, str(path))


@pytest.mark.parametrize("field", ["dropout", "unconditional"])
def test_shares_of_a_prior_are_below_1(field):
    assert getattr(PriorRecipe(**{field: 0.0}), field) == 0
    with pytest.raises(RecipeError, match=f"{field} must be below 1, got 1"):
        PriorRecipe(**{field: 1})


def test_what_learns_by_muon_unless_a_recipe_says_adam(tmp_path):
    assert named_recipe(VQVAE_RECIPES, "oasis-80").optimizer == "muon"
    assert named_recipe(CONDITIONAL_RECIPES, "conditional").optimizer == "muon"
    assert named_recipe(PIXELMINER_RECIPES, "default").optimizer == "muon"
    assert named_recipe(PIXELMINER_RECIPES, "pixelminer-paper").optimizer == "adam"
    assert named_recipe(VQVAE_RECIPES, "default").optimizer == "adam"
    path = tmp_path / "mine.json"
    path.write_text('{"optimizer": "adam"}')
    assert named_recipe(PIXELMINER_RECIPES, str(path)).optimizer == "adam"
    path.write_text('{"optimizer": "sgd"}')
    with pytest.raises(RecipeError, match="optimizer must be one of adam, muon, got 'sgd'"):
        named_recipe(PIXELMINER_RECIPES, str(path))


def test_what_is_true_or_false():
    assert not PixelMinerRecipe(autoregressive=False).autoregressive
    with pytest.raises(RecipeError, match="autoregressive must be true or false, got 0"):
        PixelMinerRecipe(autoregressive=0)


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "mine.json").write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(RecipeError, match="not a recipe in JSON"):
        named_recipe(VQVAE_RECIPES, str(tmp_path / "mine.json"))


def test_an_unknown_name_lists_the_recipes(tmp_path):
    for name in ("huge", str(tmp_path), str(tmp_path / "none.json")):
        with pytest.raises(RecipeError, match="the recipes are default, oasis-80, small"):
            named_recipe(VQVAE_RECIPES, name)
