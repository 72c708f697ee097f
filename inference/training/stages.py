"""The stages of making the starter model, each of which finds its input in the work folder.

corpus → tokenizer → rows → pre-training → fine-tuning → polishing → export. A stage whose output
exists is skipped, a training stage resumes from its checkpoint: the whole may be stopped and
started again. A plan that names an exported starter begins with its tokenizer and weights, in place
of the tokenizer and of pre-training.
"""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tqdm import tqdm

from inference.training.cleaning import clean
from inference.training.corpus.common_words import hints
from inference.training.corpus.mixture import FINE_TUNING, POLISHING, PRETRAINING, Mixture, split
from inference.training.export import export, load_exported
from inference.training.initialise import initialise
from inference.training.loop import LoopSettings, load_model, train
from inference.training.model import ModelShape, StarterModel
from inference.training.packing import PackedRows, pack
from inference.training.repetition import with_repetition
from inference.training.schedule import Schedule
from inference.training.tokenizer import SPECIAL_TOKENS, encode_document, train_tokenizer

TOKENIZER_DOCUMENTS = 12_000
HINT_REPETITIONS = 12


@dataclass(frozen=True)
class Plan:
    """How large everything is. `corpus_seed` names the corpus that the rows are made from.

    `start`: the exported starter to train further, of the same shape; None trains from nothing.
    """

    work: Path
    start: Path | None = None
    documents: int = 240_000
    long_documents: int = 80_000
    polish_documents: int = 40_000
    row_tokens: int = 512
    long_row_tokens: int = 1024
    corpus_seed: int = 1
    pretrain_steps: int = 4200
    finetune_steps: int = 1300
    polish_steps: int = 750
    batch_rows: int = 8
    device: str = "cpu"
    compiled: bool = True
    shape: ModelShape = field(default_factory=ModelShape)

    @property
    def rate_share(self) -> float:
        """Of the learning rates of a model from nothing; higher ones unlearn what is there."""
        return 1.0 if self.start is None else 0.5

    @property
    def tokenizer_file(self) -> Path:
        return self.work / "tokenizer.json"

    def rows_file(self, seed: int, documents: int, row_tokens: int) -> Path:
        return self.work / f"rows-{seed}-{documents}-{row_tokens}.npz"

    def checkpoint(self, stage: str) -> Path:
        return self.work / f"{stage}.pt"


def make_starter(plan: Plan, output: Path) -> None:
    """All stages, in order."""
    tokenizer = make_tokenizer(plan)
    seed = plan.corpus_seed
    begun = (
        pretrained(plan, tokenizer) if plan.start is None else load_exported(plan.start, plan.shape)
    )
    # Fine-tuning reads documents that pre-training has not read.
    long_rows = make_rows(
        plan, tokenizer, seed + 1, plan.long_documents, plan.long_row_tokens, FINE_TUNING
    )
    finetune(plan, long_rows, begun)
    short_rows = make_rows(
        plan, tokenizer, seed + 2, plan.polish_documents, plan.row_tokens, POLISHING
    )
    polish(plan, short_rows)
    export(load_model(plan.checkpoint("polish")), tokenizer, output)


def make_tokenizer(plan: Plan) -> Tokenizer:
    plan.work.mkdir(parents=True, exist_ok=True)
    if plan.start is not None:
        shutil.copyfile(plan.start / plan.tokenizer_file.name, plan.tokenizer_file)
    elif not plan.tokenizer_file.exists():
        texts = [document.text for document in clean(split(0, TOKENIZER_DOCUMENTS, held_out=False))]
        tokenizer = train_tokenizer(texts + hints() * HINT_REPETITIONS, plan.shape.vocabulary)
        tokenizer.save(str(plan.tokenizer_file))
    return Tokenizer.from_file(str(plan.tokenizer_file))


def make_rows(
    plan: Plan,
    tokenizer: Tokenizer,
    seed: int,
    documents: int,
    row_tokens: int,
    mixture: Mixture = PRETRAINING,
) -> PackedRows:
    """The documents of the mixture with this seed, and the rows that teach copying."""
    file = plan.rows_file(seed, documents, row_tokens)
    if not file.exists():
        wanted = split(seed, documents, held_out=False, mixture=mixture)
        cleaned = clean(tqdm(wanted, total=documents, desc="corpus", unit="doc"))
        rows = pack((encode_document(tokenizer, document) for document in cleaned), row_tokens)
        vocabulary, specials = plan.shape.vocabulary, len(SPECIAL_TOKENS)
        with_repetition(rows, specials, vocabulary, seed).save(file)
    return PackedRows.load(file)


def pretrained(plan: Plan, tokenizer: Tokenizer) -> StarterModel:
    rows = make_rows(plan, tokenizer, plan.corpus_seed, plan.documents, plan.row_tokens)
    pretrain(plan, rows)
    return load_model(plan.checkpoint("pretrain"))


def pretrain(plan: Plan, rows: PackedRows) -> None:
    """Every token counts, questions included. The rate stays high: the decay is fine-tuning's."""
    torch.manual_seed(plan.corpus_seed)
    settings = LoopSettings(
        Schedule(plan.pretrain_steps, warmup_steps=60, decay_steps=0),
        plan.batch_rows,
        device=plan.device,
        compiled=plan.compiled,
    )
    model = StarterModel(plan.shape)
    initialise(model)
    train(model, rows, settings, plan.checkpoint("pretrain"))


def finetune(plan: Plan, rows: PackedRows, model: StarterModel) -> None:
    """On answers only, the rate falling to almost nothing. `model` is changed in place."""
    batch_rows = plan.batch_rows * plan.row_tokens // plan.long_row_tokens
    settings = on_answers(plan, plan.finetune_steps, batch_rows, plan.rate_share, seed=2)
    train(model, rows, settings, plan.checkpoint("finetune"))


def polish(plan: Plan, rows: PackedRows) -> None:
    """A second, shorter fine-tuning at half the rate."""
    settings = on_answers(plan, plan.polish_steps, plan.batch_rows, plan.rate_share / 2, seed=3)
    train(load_model(plan.checkpoint("finetune")), rows, settings, plan.checkpoint("polish"))


def on_answers(plan: Plan, steps: int, batch_rows: int, share: float, seed: int) -> LoopSettings:
    """Settings of a fine-tuning at a share of the usual rates."""
    return LoopSettings(
        Schedule(steps, warmup_steps=10, decay_steps=steps - 10),
        batch_rows,
        matrix_rate=LoopSettings.matrix_rate * share,
        other_rate=LoopSettings.other_rate * share,
        answers_only=True,
        seed=seed,
        device=plan.device,
        compiled=plan.compiled,
    )
