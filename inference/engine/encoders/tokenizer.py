"""A Hugging Face tokenizer as an encoder's `EncoderCodec`."""

from collections.abc import Sequence

from inference.engine.tokenizer import HuggingFaceCodec


class HuggingFaceEncoderCodec(HuggingFaceCodec):
    """Text to ids and back, masks known."""

    @property
    def mask_token(self) -> str:
        """As the tokenizer writes it."""
        return self._tokenizer.mask_token or ""

    @property
    def mask_token_id(self) -> int:
        """As the tokenizer knows it."""
        return self._tokenizer.mask_token_id or 0

    def find_token(self, text: str) -> int | None:
        """Look in the vocabulary first, as people read it there; then encode."""
        token_id: int | None = self._backend.token_to_id(text)
        if token_id is not None:
            return token_id
        ids = self._backend.encode(text, add_special_tokens=False).ids
        return ids[0] if len(ids) == 1 and ids[0] != self._tokenizer.unk_token_id else None

    def plain_text(self, token_ids: Sequence[int]) -> str:
        """Decode as transformers does when it skips special tokens, but keep masks."""
        shown = [t for t in token_ids if t not in self._special or t == self.mask_token_id]
        text: str = self._tokenizer.decode(shown)
        return text
