# ruff: noqa: E501 - the corpus is prose: a template stays on one line
# fmt: off
"""Raw text of everyday kinds: introductions, diaries, descriptions, recipes, code and plain facts."""

import random

from inference.training.corpus.facts import CAPITALS, FACTS, OPPOSITES, members, pairs
from inference.training.corpus.objects import CITIES, FIRST_NAMES, JOBS
from inference.training.corpus.smalltalk import SNIPPETS, exchange_from
from inference.training.corpus.tasks import ACTS, DAYS, PLACES, WEATHER, paragraph
from inference.training.documents import Document, raw
from inference.training.grammar import article, expand, one, sentence_case

LIKES = ("reading", "long walks", "old maps", "jazz", "gardening", "chess", "swimming", "cooking", "photography", "the sea", "puzzles", "birds")
DISHES = {
    "pancakes": ("flour", "eggs", "milk", "a little salt"), "tomato soup": ("tomatoes", "an onion", "a cup of stock", "basil"), "fruit salad": ("an apple", "a banana", "an orange", "honey"),
    "fried rice": ("cooked rice", "two eggs", "peas", "soy sauce"), "potato salad": ("potatoes", "an onion", "oil", "vinegar"), "omelette": ("three eggs", "butter", "salt", "herbs"),
}  # fmt: skip
STEPS = ("Wash your hands and [prepare everything|put everything on the table].", "Cut what needs to be cut into small pieces.", "Mix [everything|all of it] in a [large|deep] bowl.", "Cook it over [a low|medium] heat and stir now and then.", "Taste it and add [a little salt|some pepper].", "Serve it [warm|at once] and enjoy.")


def introduction(rng: random.Random) -> Document:
    name, likes = rng.choice(FIRST_NAMES), rng.sample(LIKES, 2)
    slots = {"n": name, "age": str(rng.randint(18, 80)), "c": rng.choice(CITIES), "j": article(rng.choice(JOBS)), "x": likes[0], "y": likes[1]}
    text = one(rng, (
        "[Hello, my|Hi, my|My] name is {n}. I am {age} years old and I live in {c}. I work as {j}. In my free time I like {x} and {y}. [Nice to meet you!|I am glad to be here.|]",
        "{n} is {j} from {c}. [At the age of {age}|Today, at {age}], {n} still [gets up early|walks to work] every day, and [loves|enjoys] {x}. On Sundays there is time for {y}.",
    ), slots)  # fmt: skip
    return raw("page", "en", text, f"introduction:{name}:{slots['c']}")


def diary(rng: random.Random) -> Document:
    lines: list[str] = []
    for day in DAYS[: rng.randint(1, 4)]:
        friend = rng.choice(FIRST_NAMES)
        lines.append(one(rng, (
            f"{day}. {rng.choice(WEATHER)}. I went to {rng.choice(PLACES)} and met {friend}. We {rng.choice(ACTS)}.",
            f"{day}. Today I stayed at home[ and read|, cooked and slept|]. In the evening {friend} [called|came by].",
            f"{day}. {friend} and I {rng.choice(ACTS)} near {rng.choice(PLACES)}. [It was a good day.|I was tired but happy.]",
        )))  # fmt: skip
    return raw("page", "en", "\n\n".join(lines))


def description(rng: random.Random) -> Document:
    subject, text = paragraph(rng)
    if rng.random() < 0.5:
        text = f"{sentence_case(subject)}\n\n{text}"
    return raw("page", "en", text)


def recipe(rng: random.Random) -> Document:
    dish = rng.choice(sorted(DISHES))
    needs = list(DISHES[dish])
    rng.shuffle(needs)
    kept = sorted(rng.sample(range(len(STEPS)), rng.randint(4, len(STEPS))))
    steps = "\n".join(f"{i}. {expand(rng, STEPS[k])}" for i, k in enumerate(kept, start=1))
    listed = "\n".join(f"- {need}" for need in needs)
    return raw("page", "en", f"{sentence_case(dish)}\n\nYou need:\n{listed}\n\n{steps}")


def fact_sentences(rng: random.Random) -> Document:
    """Statements instead of questions: "The capital of France is" should go on well."""
    sentences: list[str] = []
    for _ in range(rng.randint(2, 6)):
        kind = rng.random()
        if kind < 0.45:
            country, city, _, _ = rng.choice(pairs(CAPITALS))
            sentences.append(rng.choice((f"The capital of {country} is {city}.", f"{city} is the capital of {country}.")))
        elif kind < 0.7:
            first, second = rng.sample(rng.choice(pairs(OPPOSITES)), 2)
            sentences.append(f"The opposite of {first} is {second}.")
        else:
            sentences.append(rng.choice([answer for question, answer in FACTS if question.isascii()]))
    return raw("page", "en", " ".join(dict.fromkeys(sentences)))


def shopping(rng: random.Random) -> Document:
    names = [english for english, _ in members("fruits") + members("vegetables")]
    chosen = rng.sample(names, rng.randint(3, 7))
    return raw("page", "en", rng.choice(("Shopping list", "To buy", "We need")) + ":\n" + "\n".join(f"- {name}" for name in chosen))


def code_page(rng: random.Random) -> Document:
    _, answer = exchange_from(rng, SNIPPETS, "")
    return raw("page", "en", answer.removeprefix("```python\n").removesuffix("\n```"))


def page(rng: random.Random) -> Document:
    makers = (introduction, introduction, diary, diary, description, description, recipe, fact_sentences, fact_sentences, shopping, code_page)
    return rng.choice(makers)(rng)
