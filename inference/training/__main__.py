"""`python -m inference.training`: make the starter model, or evaluate it."""

import argparse
import sys
from pathlib import Path

from inference.training.evaluate import Effort, report
from inference.training.stages import Plan, make_starter

STARTER = Path(__file__).resolve().parent.parent / "starter"
WORK = Path("data/starter-work")
RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "starter-eval.json"


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--work",
        type=Path,
        default=WORK,
        help="checkpoints and packed rows; a second run resumes from here",
    )
    parser.add_argument("--output", type=Path, default=STARTER, help="the folder to export to")
    parser.add_argument(
        "--start",
        type=Path,
        help="an exported starter to train further: no pre-training, half the learning rates",
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--pretrain-steps", type=int, default=Plan.pretrain_steps)
    parser.add_argument("--finetune-steps", type=int, default=Plan.finetune_steps)
    parser.add_argument("--polish-steps", type=int, default=Plan.polish_steps)
    parser.add_argument("--documents", type=int, default=Plan.documents)
    parser.add_argument("--long-documents", type=int, default=Plan.long_documents)
    parser.add_argument("--polish-documents", type=int, default=Plan.polish_documents)
    parser.add_argument("--corpus-seed", type=int, default=Plan.corpus_seed)


def add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, default=STARTER, help="the exported folder")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the JSON file to write")
    parser.add_argument("--quick", action="store_true", help="fewer prompts, no file")


def run_train(options: argparse.Namespace) -> None:
    plan = Plan(
        options.work,
        start=options.start,
        documents=options.documents,
        long_documents=options.long_documents,
        polish_documents=options.polish_documents,
        corpus_seed=options.corpus_seed,
        pretrain_steps=options.pretrain_steps,
        finetune_steps=options.finetune_steps,
        polish_steps=options.polish_steps,
        device=options.device,
    )
    make_starter(plan, options.output)


def run_evaluate(options: argparse.Namespace) -> bool:
    """Whether every bar was met."""
    if options.quick:
        return report(options.model, None, Effort(prompts_per_probe=20, stories=4, documents=200))
    return report(options.model, options.results)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m inference.training", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    add_train_arguments(commands.add_parser("train", help="generate the corpus, train and export"))
    add_evaluate_arguments(commands.add_parser("evaluate", help="measure a model against its bars"))
    options = parser.parse_args()
    if options.command == "train":
        run_train(options)
        return 0
    return 0 if run_evaluate(options) else 1


if __name__ == "__main__":
    sys.exit(main())
