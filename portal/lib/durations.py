"""Durations in headers and sentences."""


def spell_duration(seconds: float) -> str:
    """`12ms`, `6.5s`, `1m3s`, the way OpenAI writes resets."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, seconds = divmod(seconds, 60)
    spelt = f"{seconds:.3f}".rstrip("0").rstrip(".")
    return f"{int(minutes)}m{spelt}s" if minutes else f"{spelt}s"
