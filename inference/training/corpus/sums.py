# ruff: noqa: E501 - the corpus is prose: a template stays on one line
# fmt: off
"""Arithmetic as text: sums, differences, products, comparisons, word problems and drills."""

import random

from inference.training.documents import Document, chat, key_is_held_out, raw
from inference.training.grammar import one

ENGLISH_QUESTIONS = {
    "+": ("What is {a} + {b}?", "{a} + {b}", "{a} + {b} = ?", "{a}+{b}=", "What is {a} plus {b}?", "How much is {a} + {b}?", "[Calculate|Compute] {a} + {b}.", "[Add|Please add] {a} and {b}.", "what's {a}+{b}", "Can you [calculate|tell me] {a} + {b}?", "What is the sum of {a} and {b}?"),
    "-": ("What is {a} - {b}?", "{a} - {b}", "{a} - {b} = ?", "{a}-{b}=", "What is {a} minus {b}?", "How much is {a} - {b}?", "[Calculate|Compute] {a} - {b}.", "Subtract {b} from {a}.", "what's {a}-{b}", "Can you [calculate|tell me] {a} - {b}?"),
    "×": ("What is {a} × {b}?", "What is {a} * {b}?", "{a} * {b}", "{a} x {b} = ?", "What is {a} times {b}?", "How much is {a} times {b}?", "[Calculate|Compute] {a} * {b}.", "Multiply {a} by {b}.", "what's {a}*{b}"),
}  # fmt: skip
CHINESE_QUESTIONS = {
    "+": ("{a}+{b}等于多少？", "{a} + {b} = ?", "{a}加{b}等于几？", "请计算{a}+{b}。", "{a}加{b}是多少？", "{a}+{b}=？"),
    "-": ("{a}-{b}等于多少？", "{a} - {b} = ?", "{a}减{b}等于几？", "请计算{a}-{b}。", "{a}减去{b}是多少？", "{a}-{b}=？"),
    "×": ("{a}×{b}等于多少？", "{a}乘以{b}等于几？", "{a}乘{b}是多少？", "请计算{a}×{b}。", "{a}*{b}等于多少？"),
}  # fmt: skip
WORD_PROBLEMS = {
    "+": (
        "{W} has {a} {things}. {V} gives {W} {b} more. How many {things} does {W} have now?|{W} has {a} + {b} = {c} {things}.",
        "There are {a} {things} in one box and {b} in another. How many are there in all?|There are {a} + {b} = {c} {things} in all.",
        "{W} picked {a} {things} and {V} picked {b}. How many did they pick together?|Together they picked {a} + {b} = {c} {things}.",
    ),
    "-": (
        "{W} has {a} {things} and gives {b} of them to {V}. How many are left?|{a} - {b} = {c}, so {c} {things} are left.",
        "There were {a} {things} on the table. {W} took {b}. How many are still there?|{a} - {b} = {c}, so {c} {things} are still there.",
    ),
    "×": (
        "{W} has {a} bags with {b} {things} each. How many {things} is that?|That is {a} × {b} = {c} {things}.",
        "There are {a} tables with {b} {things} on each. How many {things} are there?|There are {a} × {b} = {c} {things}.",
    ),
}
CHINESE_PROBLEMS = {
    "+": ("{W}有{a}个{things}，又买了{b}个。现在有多少个{things}？|{a} + {b} = {c}，现在有{c}个{things}。",),
    "-": ("{W}有{a}个{things}，送给朋友{b}个。还剩多少个{things}？|{a} - {b} = {c}，还剩{c}个{things}。",),
    "×": ("有{a}个盒子，每个盒子里有{b}个{things}。一共有多少个{things}？|{a} × {b} = {c}，一共有{c}个{things}。",),
}
PEOPLE = ("Anna", "Ben", "Clara", "David", "Emma", "Finn", "Grace", "Hugo", "Ida", "Jack", "Lily", "Max", "Nora", "Oscar", "Paul", "Rosa", "Sam", "Tina", "Tom", "Zoe")
THINGS = ("apples", "books", "pencils", "stamps", "shells", "cookies", "marbles", "flowers", "stones", "oranges", "coins", "cards")
CHINESE_PEOPLE = ("小明", "小红", "小华", "小丽", "小刚", "小芳")
CHINESE_THINGS = ("苹果", "橙子", "鸡蛋", "杯子", "气球", "盒子", "面包", "桃子")
NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty")  # fmt: skip


def operands(rng: random.Random, sign: str) -> tuple[int, int, int]:
    """(a, b, result): sums and differences up to 100, products of the tables up to 12."""
    if sign == "×":
        a, b = rng.randint(1, 12), rng.randint(1, 12)
        return a, b, a * b
    # Small numbers are asked for most, so half of the time nothing exceeds 20.
    total = rng.randint(0, rng.choice((20, 100)))
    part = rng.randint(0, total)
    if sign == "-":
        return total, part, total - part
    return part, total - part, total


def sum_keys(a: int, b: int, sign: str) -> tuple[str, ...]:
    """Sums are the same either way round. Products have no key: the tables are there to be learnt by heart."""
    if sign == "×":
        return ()
    return (f"sum:{min(a, b)}+{max(a, b)}",) if sign == "+" else (f"sum:{a}-{b}",)


def _slots(a: int, b: int, c: int) -> dict[str, str]:
    return {"a": str(a), "b": str(b), "c": str(c)}


def sum_exchange(rng: random.Random, language: str) -> tuple[tuple[str, ...], str, str]:
    """(keys, question, answer)."""
    sign = rng.choice(("+", "+", "-", "-", "×"))
    a, b, c = operands(rng, sign)
    slots = _slots(a, b, c)
    questions = ENGLISH_QUESTIONS if language == "en" else CHINESE_QUESTIONS
    full_stop = "." if language == "en" else "。"
    answers = ("{a} " + sign + " {b} = {c}" + full_stop,)
    return sum_keys(a, b, sign), one(rng, questions[sign], slots), one(rng, answers, slots)


def sum_chat(rng: random.Random) -> Document:
    language = rng.choice(("en", "en", "zh"))
    exchanges = [sum_exchange(rng, language) for _ in range(rng.choice((1, 1, 2, 3, 4)))]
    keys = [key for keys, _, _ in exchanges for key in keys]
    return chat("sum", language, [(q, a) for _, q, a in exchanges], *keys)


def word_problem(rng: random.Random) -> Document:
    language = rng.choice(("en", "en", "zh"))
    sign = rng.choice("+-×")
    a, b, c = operands(rng, sign)
    people, things = (PEOPLE, THINGS) if language == "en" else (CHINESE_PEOPLE, CHINESE_THINGS)
    first, second = rng.sample(people, 2)
    slots = {**_slots(a, b, c), "W": first, "V": second, "things": rng.choice(things)}
    problems = WORD_PROBLEMS if language == "en" else CHINESE_PROBLEMS
    # Not `one`: the bar between question and answer is no choice here.
    question, answer = rng.choice(problems[sign]).format(**slots).split("|")
    return chat("sum", language, [(question, answer)], *sum_keys(a, b, sign))


def sum_drill(rng: random.Random) -> Document:
    """A page of sums: the densest way to teach them. Held-out ones are left out."""
    style = rng.choice(("{a} {s} {b} = {c}", "{a} {s} {b} = {c}", "{a}{s}{b}={c}", "Q: {a} {s} {b}\nA: {c}"))
    lines: list[str] = []
    while len(lines) < 24:
        sign = rng.choice(("+", "+", "-", "-", "×"))
        a, b, c = operands(rng, sign)
        if not any(map(key_is_held_out, sum_keys(a, b, sign))):
            lines.append(style.format(a=a, b=b, c=c, s=sign))
    return raw("sum", "en", "\n".join(dict.fromkeys(lines)))


def comparison(rng: random.Random) -> Document:
    a, b = rng.sample(range(101), 2)
    larger, smaller = max(a, b), min(a, b)
    form = rng.choice((
        (f"Which [number |]is [larger|bigger|greater], {a} or {b}?", f"{larger} is larger than {smaller}."),
        (f"Which [number |]is smaller, {a} or {b}?", f"{smaller} is smaller than {larger}."),
        (f"Is {a} [larger|bigger|greater] than {b}?", f"{'Yes' if a > b else 'No'}, {a} is {'larger' if a > b else 'smaller'} than {b}."),
        (f"{a}和{b}哪个[更大|大]？", f"{larger}比{smaller}大。"),
        (f"{a}和{b}哪个[更小|小]？", f"{smaller}比{larger}小。"),
    ))  # fmt: skip
    language = "zh" if "哪" in form[0] else "en"
    return chat("sum", language, [(one(rng, (form[0],)), form[1])], f"compare:{a}:{b}")


def counting(rng: random.Random) -> Document:
    start = rng.choice((1, 1, 1, rng.randint(2, 30)))
    step, word = rng.choice(((1, ""), (1, ""), (1, ""), (2, " in steps of two"), (5, " in steps of five"), (10, " by tens")))
    end = start + step * rng.randint(4, 12)
    numbers = ", ".join(str(n) for n in range(start, end + 1, step))
    if rng.random() < 0.35:
        end = start + rng.randint(4, 12)
        numbers = "、".join(str(n) for n in range(start, end + 1))
        return chat("sum", "zh", [(one(rng, (f"[请|]从{start}数到{end}。",)), f"{numbers}。")], f"count:{start}:{end}")
    question = one(rng, (f"[Please count|Count|Can you count] from {start} to {end}{word}[.|, please.]",))
    return chat("sum", "en", [(question, f"{numbers}.")], f"count:{start}:{end}:{step}")
