# ruff: noqa: E501 - the corpus is prose: a template stays on one line
# fmt: off
"""JSON on request: the keys and values that were asked for, and nothing else."""

import json
import random
from collections.abc import Callable

from inference.training.corpus.facts import CATEGORIES, members
from inference.training.corpus.made_up import made_up_key
from inference.training.corpus.sums import NUMBER_WORDS
from inference.training.documents import Document, chat, raw
from inference.training.grammar import one

FIRST_NAMES = ("Alice", "Bob", "Carol", "Daniel", "Eva", "Frank", "Gina", "Henry", "Iris", "James", "Karen", "Leo", "Maria", "Noah", "Olga", "Peter", "Quinn", "Ruth", "Simon", "Theo", "Ursula", "Victor", "Wendy", "Yuki", "Ada", "Alan", "Mei", "Li Wei", "Omar", "Priya", "Sofia", "Lucas")
CITIES = ("Paris", "London", "Berlin", "Tokyo", "Rome", "Madrid", "Vienna", "Oslo", "Beijing", "Shanghai", "Lisbon", "Prague", "Dublin", "Athens")
JOBS = ("teacher", "doctor", "engineer", "painter", "farmer", "writer", "nurse", "baker", "pilot", "student", "cook", "gardener")
COLOURS = ("red", "blue", "green", "yellow", "black", "white", "purple", "orange", "brown", "pink")
TITLES = ("The Long Road", "Silver Moon", "A Quiet Garden", "The Last Lamp", "Winter Songs", "The Blue Door", "Small Stars", "Rivers and Roads")
PRODUCTS = ("lamp", "chair", "notebook", "bicycle", "teapot", "backpack", "clock", "kettle", "mug", "umbrella")

Value = str | int | float | bool | list[str] | None


def value_for(rng: random.Random, key: str) -> Value:
    """A likely value for a key with this name; any value for a name that is made up."""
    makers: dict[str, Value] = {
        "name": rng.choice(FIRST_NAMES), "age": rng.randint(5, 90), "city": rng.choice(CITIES),
        "job": rng.choice(JOBS), "email": f"{rng.choice(FIRST_NAMES).split()[0].lower()}@example.com",
        "color": rng.choice(COLOURS), "colour": rng.choice(COLOURS), "title": rng.choice(TITLES),
        "author": rng.choice(FIRST_NAMES), "year": rng.randint(1900, 2025), "pages": rng.randint(40, 900),
        "price": round(rng.randint(1, 400) / 2, 2), "quantity": rng.randint(1, 50), "product": rng.choice(PRODUCTS),
        "country": rng.choice(("France", "Japan", "China", "Italy", "Brazil", "Spain", "Canada", "Egypt")),
        "id": rng.randint(1, 999), "active": rng.random() < 0.5, "in_stock": rng.random() < 0.5,
        "tags": rng.sample(("new", "sale", "book", "home", "gift", "music", "food", "travel"), rng.randint(1, 3)),
        "hobbies": rng.sample(("reading", "music", "chess", "running", "cooking", "painting", "swimming"), rng.randint(1, 3)),
        "temperature": rng.randint(-10, 38), "weather": rng.choice(("sunny", "cloudy", "rainy", "windy", "snowy")),
        "language": rng.choice(("English", "Chinese", "French", "German", "Spanish")),
        "animal": rng.choice(("cat", "dog", "horse", "owl", "fox", "rabbit", "tiger")),
        "size": rng.choice(("small", "medium", "large")), "rating": rng.randint(1, 5), "score": rng.randint(0, 100),
        "answer": rng.choice(("yes", "no")), "status": rng.choice(("open", "closed", "done", "new")),
        "date": f"2025-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}", "phone": f"555-{rng.randint(0, 9999):04d}",
        "planet": rng.choice(("Mars", "Venus", "Jupiter", "Saturn", "Earth")), "greeting": rng.choice(("Hello!", "Good morning!", "Hi there!")),
        "width": rng.randint(1, 200), "height": rng.randint(1, 200), "count": rng.randint(0, 100), "message": rng.choice(("Hello", "Welcome", "Thank you", "All is well")),
    }  # fmt: skip
    if key not in makers:
        return rng.choice((rng.randint(0, 100), rng.choice(COLOURS), rng.random() < 0.5))
    return makers[key]


SUBJECTS: dict[str, tuple[str, ...]] = {
    "person": ("name", "age", "city", "job", "email", "hobbies", "language", "active", "phone"),
    "book": ("title", "author", "year", "pages", "language", "price"),
    "product": ("product", "price", "quantity", "color", "in_stock", "tags", "id", "rating", "size"),
    "user": ("id", "name", "email", "active", "language", "country"),
    "city": ("city", "country", "temperature", "weather"),
    "pet": ("name", "animal", "age", "color", "size"),
    "task": ("id", "title", "status", "date", "tags"),
    "order": ("id", "product", "quantity", "price", "status", "date"),
    "robot": ("name", "color", "planet", "size", "height", "active"),
    "reply": ("greeting", "message", "language", "answer", "score"),
    "box": ("width", "height", "colour", "count"),
}
ALL_KEYS = sorted({key for keys in SUBJECTS.values() for key in keys})
KeyChooser = Callable[[random.Random], tuple[str, list[str]]]
CHINESE_SUBJECTS = {"person": "人", "book": "书", "product": "商品", "user": "用户", "city": "城市", "pet": "宠物", "task": "任务", "order": "订单", "robot": "机器人", "reply": "回复", "box": "盒子"}  # fmt: skip


def render(rng: random.Random, value: object) -> str:
    """Mostly indented, sometimes on one line."""
    return json.dumps(value, ensure_ascii=False, indent=2 if rng.random() < 0.5 else None)


def wanted_keys(rng: random.Random) -> tuple[str, list[str]]:
    """(subject, keys) that go together."""
    subject = rng.choice(sorted(SUBJECTS))
    keys = rng.sample(SUBJECTS[subject], rng.randint(1, min(4, len(SUBJECTS[subject]))))
    if rng.random() < 0.25:
        keys[rng.randrange(len(keys))] = made_up_key(rng)
    return subject, keys


def any_keys(rng: random.Random) -> tuple[str, list[str]]:
    """(subject, keys) that do not: only the question says which they are."""
    keys = rng.sample(ALL_KEYS, rng.randint(1, 5))
    for place in range(len(keys)):
        if rng.random() < 0.3:
            keys[place] = made_up_key(rng)
    rng.shuffle(keys)
    return rng.choice(sorted(SUBJECTS)), list(dict.fromkeys(keys))


def spoken(keys: list[str], conjunction: str = " and ", comma: str = ", ") -> str:
    return keys[0] if len(keys) == 1 else comma.join(keys[:-1]) + conjunction + keys[-1]


def keyed_object(rng: random.Random, choose: KeyChooser = wanted_keys) -> tuple[str, str, str]:
    """(key, question, answer): an object with the keys that are named."""
    subject, keys = choose(rng)
    plural = "key" if len(keys) == 1 else "keys"
    quoted = [f'"{key}"' for key in keys] if rng.random() < 0.35 else keys
    slots = {"keys": spoken(quoted), "plural": plural, "s": subject}
    question = one(rng, (
        "[Return|Give me|Write|Create|Make|Output] a JSON object with [the |]{plural} {keys}[.||. Nothing else.|, nothing else.]",
        "[Return|Give me|Write|Create] a JSON object [for|describing|about] a {s} with [the |]{plural} {keys}[.||. Only JSON.|. Answer with JSON only.]",
        "[Describe|Invent] a {s} as JSON with [the |]{plural} {keys}[.|]",
        "[Answer|Reply|Respond] [only |]in JSON with the {plural} {keys}[.|]",
        "[I need|Show me] a {s} in JSON[: |, with ]{plural} {keys}[.|]",
    ), slots)  # fmt: skip
    answer = render(rng, {key: value_for(rng, key) for key in keys})
    return f"json:{','.join(sorted(keys))}", question, answer


def chinese_object(rng: random.Random, choose: KeyChooser = wanted_keys) -> tuple[str, str, str]:
    subject, keys = choose(rng)
    slots = {"keys": spoken(keys, "和", "、"), "s": CHINESE_SUBJECTS[subject]}
    question = one(rng, (
        "[请|][返回|给我|写|生成]一个JSON对象，包含{keys}。", "[请|]用JSON描述一个{s}，键是{keys}。",
        "[请|]只用JSON回答，键为{keys}。", "[请|]生成一个{s}的JSON，包含{keys}[，不要其他内容|]。",
    ), slots)  # fmt: skip
    return f"json:{','.join(sorted(keys))}", question, render(rng, {key: value_for(rng, key) for key in keys})


def given_values(rng: random.Random) -> tuple[str, str, str]:
    """The values are in the question and must be carried over."""
    name, age, city = rng.choice(FIRST_NAMES), rng.randint(5, 90), rng.choice(CITIES)
    job, product, colour = rng.choice(JOBS), rng.choice(PRODUCTS), rng.choice(COLOURS)
    price, quantity = rng.randint(1, 200), rng.randint(1, 50)
    forms: tuple[tuple[str, dict[str, Value]], ...] = (
        (f"{name} is {age} years old and lives in {city}.", {"name": name, "age": age, "city": city}),
        (f"{name} is {age} years old.", {"name": name, "age": age}),
        (f"{name} is {age} years old and works as a {job}.", {"name": name, "age": age, "job": job}),
        (f"{name} lives in {city} and is a {job}.", {"name": name, "city": city, "job": job}),
        (f"The {colour} {product} costs {price} dollars.", {"product": product, "color": colour, "price": price}),
        (f"We have {quantity} {colour} {product}s at {price} dollars each.", {"product": product, "color": colour, "quantity": quantity, "price": price}),
    )  # fmt: skip
    sentence, values = rng.choice(forms)
    keys = spoken(list(values))
    question = one(rng, ("[Turn|Convert|Change] this into JSON with the keys {k}: {t}", "{t} [Write|Return|Give] this as JSON with the keys {k}.", "[Extract|Return] {k} as JSON: {t}"), {"k": keys, "t": sentence})
    return f"json-given:{name}:{age}:{city}:{product}", question, render(rng, values)


def list_object(rng: random.Random) -> tuple[str, str, str]:
    category = rng.choice(sorted(CATEGORIES))
    names = [english for english, _ in members(category)]
    count = rng.randint(2, min(5, len(names)))
    chosen = rng.sample(names, count)
    slots = {"n": NUMBER_WORDS[count], "c": category}
    if rng.random() < 0.5:
        question = one(rng, ("[Give me|List|Return|Write] {n} {c} as [a JSON array|a JSON list|JSON array].", "A JSON array [of|with] {n} {c}[.|, please.]"), slots)
        return f"json-list:{category}:{count}", question, render(rng, chosen)
    question = one(rng, ("[Give me|List|Return|Write] {n} {c} as JSON.", "[Return|Give me] JSON with {n} {c}."), slots)
    return f"json-list:{category}:{count}", question, render(rng, {category.replace(" ", "_"): chosen})


def object_chat(rng: random.Random) -> Document:
    maker = rng.choice((keyed_object, keyed_object, keyed_object, chinese_object, given_values, list_object))
    key, question, answer = maker(rng)
    language = "zh" if maker is chinese_object else "en"
    system = rng.choice(("", "", "", "Answer in JSON.", "You answer only with valid JSON.", "You are a helpful assistant."))
    return chat("json", language, [(question, answer)], key, system=system)


def any_keys_chat(rng: random.Random) -> Document:
    """Keys that can only be copied: the sets that go together are soon known by heart."""
    maker, language = rng.choice(((keyed_object, "en"), (keyed_object, "en"), (chinese_object, "zh")))
    key, question, answer = maker(rng, any_keys)
    return chat("json", language, [(question, answer)], key)


def object_page(rng: random.Random) -> Document:
    """Raw JSON, for completions and for grammars that force it."""
    _, keys = wanted_keys(rng)
    values = {key: value_for(rng, key) for key in keys}
    return raw("json", "en", render(rng, values))
