"""Chat templates that know tools, short forms of what each family ships, and a codec with one."""

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from inference.engine.tokenizer import HuggingFaceCodec

_TURN = "<|start|>{{ message.role }}\n{{ message.content }}"
_ANSWER = "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"

HERMES = (
    "{% if tools %}<|start|>system\nFor each call return a json object with name and arguments: "
    '<tool_call>\n{"name": <name>, "arguments": <args>}\n</tool_call>\n'
    "{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}<|end|>{% endif %}"
    f"{{% for message in messages %}}{_TURN}"
    "{% for call in message.tool_calls or [] %}<tool_call>\n"
    '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}'
    f"\n</tool_call>{{% endfor %}}<|end|>{{% endfor %}}{_ANSWER}"
)
LLAMA = (
    "{% if tools %}<|start_header_id|>system\n{% for tool in tools %}{{ tool | tojson }}\n"
    "{% endfor %}<|end|>{% endif %}"
    f"{{% for message in messages %}}{_TURN}"
    "{% if message.tool_calls and message.tool_calls | length != 1 %}"
    "{{ raise_exception('This model only supports single tool-calls at once!') }}{% endif %}"
    "{% for call in message.tool_calls or [] %}"
    """{{ '{"name": "' + call.function.name + '", "parameters": ' }}"""
    "{{ call.function.arguments | tojson }}}"
    f"{{% endfor %}}<|end|>{{% endfor %}}{_ANSWER}"
)
MISTRAL = (
    "{% if tools %}[AVAILABLE_TOOLS] {{ tools | tojson }}{% endif %}"
    f"{{% for message in messages %}}{_TURN}"
    "{% for call in message.tool_calls or [] %}{% if call.id | length != 9 %}"
    "{{ raise_exception('Tool call IDs should be of length 9!') }}{% endif %}"
    "[TOOL_CALLS] [{{ call.function | tojson }}]{% endfor %}"
    f"<|end|>{{% endfor %}}{_ANSWER}"
)
MISTRAL_ARGS = MISTRAL.replace(
    "[TOOL_CALLS] [{{ call.function | tojson }}]",
    "[TOOL_CALLS]{{ call.function.name }}[ARGS]{{ call.function.arguments | tojson }}",
)
TEMPLATES = {
    "hermes": HERMES,
    "llama": LLAMA,
    "mistral": MISTRAL,
    "mistral-args": MISTRAL_ARGS,
}
SPECIALS = ("<|end|>", "<|start|>", "<|python_tag|>", "[TOOL_CALLS]", "[ARGS]", "[AVAILABLE_TOOLS]")
PLAIN_MARKS = ("<tool_call>", "</tool_call>")  # tokens of their own, but plain text


def make_codec(template: str) -> HuggingFaceCodec:
    """A byte-level tokenizer with the marks of every family."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({char: n for n, char in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(text, special=True) for text in SPECIALS])
    backend.add_tokens([AddedToken(text, special=False, normalized=False) for text in PLAIN_MARKS])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>")
    tokenizer.chat_template = template
    return HuggingFaceCodec(tokenizer, (tokenizer.eos_token_id,))
