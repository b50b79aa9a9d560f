"""Recipes as rows use them: nothing is replaced that is not there."""

from __future__ import annotations

import pytest

from bench import recipes
from bench.recipes import RecipeError


def test_what_a_recipe_says_is_replaced_and_the_rest_is_kept():
    text = recipes.render("nginx/trip2g-upstream.conf", {"127.0.0.2:8080": "a:1"})
    assert text.endswith("\nserver a:1 max_fails=0;\n")


def test_a_longer_key_wins_over_one_inside_of_it_and_nothing_is_replaced_twice():
    changes = {"8080": "8081", "127.0.0.2:8080": "8080"}
    text = recipes.render("nginx/trip2g-upstream.conf", changes)
    assert text.endswith("\nserver 8080 max_fails=0;\n")


def test_what_a_recipe_does_not_say_cannot_be_replaced():
    with pytest.raises(RecipeError) as caught:
        recipes.render("nginx/trip2g-upstream.conf", {"9090": "1"})
    assert str(caught.value) == "deploy/nginx/trip2g-upstream.conf does not say '9090'."


def test_without_changes_a_recipe_is_as_it_is():
    path = recipes.DEPLOY / "nginx" / "trip2g-upstream.conf"
    assert recipes.render("nginx/trip2g-upstream.conf", {}) == path.read_text()


def test_an_environment_file_is_read_without_its_comments():
    assert recipes.environment("two-addresses/trip2g-blue.env") == {
        "LISTENER": "bind",
        "LISTEN_ADDR": "127.0.0.2:8080",
        "INTERNAL_LISTEN_ADDR": "127.0.0.2:8081",
    }
