"""Generation of captions and answers (paper, section 3.2): a [MASK] behind what is there already predicts the next token.

Finished positions never change, so a KV cache holds their keys and values: whatever the length, every step runs two positions,
the newest token and the [MASK]. Keys and values of the video are shared by all beams.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cosa.behaviour import DEFAULT, Behaviour
from cosa.draws import Draws
from cosa.encoders.encoder_input import EncoderInput
from cosa.encoders.kv_cache import KeysValues, KVCache, VideoMemory
from cosa.model import COSA, VideoFeatures
from cosa.ops import packed_weights


@dataclass(frozen=True)
class Prompt:
    """What stands before the generated text.

    keys_values: its keys and values, one pair a layer, each (rows, heads, length, head_dim); captions have no prompt.
    visible: (rows, length) true where generated tokens may look. position: position number of the first generated token,
    which is also what the published length penalty counts before it.
    """

    keys_values: list[KeysValues]
    visible: Tensor
    position: int


class Decoder:
    """Steps through at most `max_tokens` positions of a batch of rows, `group` rows a video, keeping keys and values."""

    def __init__(self, model: COSA, memory: VideoMemory, prompt: Prompt | None, max_tokens: int, group: int = 1):
        self.model = model
        self.memory = memory
        self.rows = memory.videos * group
        self.position = 0
        past: list[KeysValues] = []
        device = memory.layers[0][0].device
        self.visible = torch.ones(self.rows, 0, dtype=torch.bool, device=device)
        if prompt is not None:
            past = [(k.repeat_interleave(group, 0), v.repeat_interleave(group, 0)) for k, v in prompt.keys_values]
            self.visible = prompt.visible.repeat_interleave(group, 0)
            self.position = prompt.position
        self.cache = KVCache(self.visible.shape[1] + max_tokens + 1, past)

    def next_log_probabilities(self, newest: Tensor) -> Tensor:
        """Take the newest token of every row (rows,) in, give log-probabilities of the token behind it (rows, vocabulary)."""
        return self.next_logits(newest).log_softmax(-1)

    def next_logits(self, newest: Tensor) -> Tensor:
        """`next_log_probabilities` before the softmax, in float32."""
        mask_id = self.model.tokenizer.mask_id
        ids = torch.stack([newest, torch.full_like(newest, mask_id)], dim=1)  # (rows, 2)
        corner = torch.ones(2, 2, dtype=torch.bool, device=ids.device).tril()
        mask = torch.cat([self.visible[:, None].expand(-1, 2, -1), corner.expand(self.rows, 2, 2)], dim=2)
        positions = torch.tensor([self.position, self.position + 1], device=ids.device)
        on_mask = torch.ones_like(ids[:, :1])  # the [MASK] alone is asked for what comes next
        given = EncoderInput(ids, mask, self.memory, wanted=on_mask, positions=positions, cache=self.cache)
        [output] = self.model.multimodal.encode([given])
        self.cache.commit(1)  # the [MASK]'s own keys and values are forgotten
        self.visible = torch.cat([self.visible, self.visible.new_ones(self.rows, 1)], dim=1)
        self.position += 1
        return self.model.multimodal.language_logits(output.hidden[:, 0]).float()

    def reorder(self, rows: Tensor) -> None:
        """Continue with copies of the given rows (rows,)."""
        self.cache.select(rows)
        self.visible = self.visible.index_select(0, rows)


@torch.no_grad()
def question_prompt(model: COSA, memory: VideoMemory, question_ids: Tensor, max_question_tokens: int) -> Prompt:
    """Encode questions (rows, length) bidirectionally, as what answers look back on."""
    visible = model.not_padding(question_ids)
    _, keys_values = model.multimodal(question_ids, visible, memory)
    return Prompt(keys_values, visible, max_question_tokens)


@torch.no_grad()
def generate(
    model: COSA,
    memory: VideoMemory,
    *,
    max_tokens: int,
    beam_size: int = 1,
    length_penalty: float = 1.0,
    prompt: Prompt | None = None,
    behaviour: Behaviour = DEFAULT,
) -> list[list[int]]:
    """Token ids generated for every video (or every question, with a prompt), without [CLS] and [SEP].

    Args:
        model: the model, in evaluation mode.
        memory: keys and values of the videos, one a row.
        max_tokens: longest generated text.
        beam_size: 1 is greedy.
        length_penalty: sums of log-probabilities are divided by length ** penalty (beam search only); the length is that of
            the generated text and one special token.
        prompt: question to answer.
        behaviour: whether a prompt counts as length.
    """
    with packed_weights(model.multimodal):
        if beam_size == 1:
            return greedy(model, Decoder(model, memory, prompt, max_tokens), max_tokens)
        before = prompt.position if prompt is not None and behaviour.prompt_counts_as_length else 0
        return beam_search(
            model, Decoder(model, memory, prompt, max_tokens, group=beam_size), max_tokens, beam_size, length_penalty, before
        )


@torch.no_grad()
def generate_captions(
    model: COSA, features: VideoFeatures, *, max_tokens: int, beam_size: int, length_penalty: float
) -> list[str]:
    """A caption of every video; arguments as of `generate`."""
    rows = generate(
        model, model.video_memory(features), max_tokens=max_tokens, beam_size=beam_size, length_penalty=length_penalty
    )
    return [model.tokenizer.decode(ids) for ids in rows]


@torch.no_grad()
def generate_answers(
    model: COSA,
    features: VideoFeatures,
    questions: Sequence[tuple[int, str]],
    *,
    max_question_tokens: int,
    max_tokens: int,
    batch_size: int,
) -> list[str]:
    """Answer questions greedily.

    Args:
        model: the model, in evaluation mode.
        features: of the videos.
        questions: each with the row of its video.
        max_question_tokens: longest question, tokens.
        max_tokens: longest answer, tokens.
        batch_size: questions answered at once.
    """
    memory = model.video_memory(features)
    device = features.projected.device
    answers: list[str] = []
    for begin in range(0, len(questions), batch_size):
        part = questions[begin : begin + batch_size]
        rows = memory.select(torch.tensor([row for row, _ in part], device=device))
        ids = model.tokenizer.batch([question for _, question in part], max_question_tokens).to(device)
        prompt = question_prompt(model, rows, ids, max_question_tokens)
        answers.extend(model.tokenizer.decode(text) for text in generate(model, rows, max_tokens=max_tokens, prompt=prompt))
    return answers


@torch.no_grad()
def sample(model: COSA, memory: VideoMemory, *, max_tokens: int, draws: Draws) -> list[list[int]]:
    """Token ids drawn from the model's own distribution for every video, the closing [SEP] included if it was drawn."""

    def draw(scores: Tensor) -> Tensor:
        return draws.tokens(scores.exp())

    with packed_weights(model.multimodal):
        rows = _step_through(model, Decoder(model, memory, None, max_tokens), max_tokens, draw)
    end_id = model.tokenizer.end_id
    return [row[: row.index(end_id) + 1] if end_id in row else row for row in rows]


def greedy(model: COSA, decoder: Decoder, max_tokens: int) -> list[list[int]]:
    """The likeliest token at every step; ids of every row, without [CLS] and [SEP]."""
    rows = _step_through(model, decoder, max_tokens, lambda scores: scores.argmax(-1))
    return [_until_end(row, model.tokenizer.end_id) for row in rows]


def _step_through(model: COSA, decoder: Decoder, max_tokens: int, choose: Callable[[Tensor], Tensor]) -> list[list[int]]:
    """Chosen tokens of every row, [PAD] behind the closing [SEP]."""
    tokenizer, device = model.tokenizer, decoder.visible.device
    newest = torch.full((decoder.rows,), tokenizer.start_id, device=device)
    finished = torch.zeros(decoder.rows, dtype=torch.bool, device=device)
    chosen = []
    for _ in range(max_tokens):
        newest = choose(decoder.next_log_probabilities(newest))
        newest = torch.where(finished, tokenizer.pad_id, newest)
        finished = finished | (newest == tokenizer.end_id)
        chosen.append(newest)
        if bool(finished.all()):
            break
    return torch.stack(chosen, dim=1).tolist()


def _until_end(ids: list[int], end_id: int) -> list[int]:
    return ids[: ids.index(end_id)] if end_id in ids else ids


@dataclass
class _Hypotheses:
    """The finished texts of one row, best `beam_size` kept; semantics of the published (transformers') beam search."""

    beam_size: int
    length_penalty: float
    kept: list[tuple[float, list[int]]] = field(default_factory=list)
    done: bool = False

    def add(self, ids: list[int], log_probability: float, length: int) -> None:
        score = log_probability / length**self.length_penalty
        if len(self.kept) < self.beam_size or score > self.kept[-1][0]:
            self.kept.append((score, ids))
            self.kept.sort(key=lambda item: -item[0])
            del self.kept[self.beam_size :]

    def close(self, best_running: float, length: int) -> None:
        """No running beam can still be better than the worst kept text: the row is done."""
        full = len(self.kept) == self.beam_size
        self.done = self.done or (full and self.kept[-1][0] >= best_running / length**self.length_penalty)


def beam_search(
    model: COSA, decoder: Decoder, max_tokens: int, beam_size: int, length_penalty: float, counted_before: int
) -> list[list[int]]:
    """The best text of every video by beam search, see `generate`; ids without [CLS] and [SEP].

    decoder: with beam_size rows a video. counted_before: tokens that the length penalty counts before the text.
    """
    tokenizer, rows = model.tokenizer, decoder.memory.videos
    device = decoder.visible.device
    prompt_length = 1 + counted_before
    results = [_Hypotheses(beam_size, length_penalty) for _ in range(rows)]
    texts: list[list[int]] = [[] for _ in range(rows * beam_size)]
    scores = torch.full((rows, beam_size), -1e9, device=device)
    scores[:, 0] = 0.0  # all beams of a row start alike: only the first counts
    newest = torch.full((rows * beam_size,), tokenizer.start_id, device=device)
    for step in range(max_tokens):
        log_probabilities = decoder.next_log_probabilities(newest).view(rows, beam_size, -1)
        vocabulary = log_probabilities.shape[-1]
        total = (scores[:, :, None] + log_probabilities).flatten(1)  # (rows, beams * vocabulary)
        best, flat = total.topk(2 * beam_size, dim=1)
        length = prompt_length + step  # tokens before the one that is chosen now
        candidates = zip(best.tolist(), (flat // vocabulary).tolist(), (flat % vocabulary).tolist(), strict=True)
        chosen: list[tuple[float, int, int]] = []  # (score, flat beam, token) of the running beams, row after row
        for row, (row_scores, row_beams, row_tokens) in enumerate(candidates):
            running = _advance(
                results[row],
                texts,
                row * beam_size,
                list(zip(row_scores, row_beams, row_tokens, strict=True)),
                length,
                tokenizer.end_id,
                tokenizer.pad_id,
            )
            results[row].close(row_scores[0], length + 1)
            chosen.extend(running)
        texts = [[*texts[beam], token] for _, beam, token in chosen]
        scores = torch.tensor([score for score, _, _ in chosen], device=device).view(rows, beam_size)
        newest = torch.tensor([token for _, _, token in chosen], device=device)
        if all(result.done for result in results):
            break
        beams = [beam for _, beam, _ in chosen]
        if beams != list(range(len(beams))):
            decoder.reorder(torch.tensor(beams, device=device))
    else:
        final, running_scores = prompt_length + max_tokens, scores.flatten().tolist()
        for row, result in enumerate(results):
            if not result.done:
                for beam in range(row * beam_size, (row + 1) * beam_size):
                    result.add(texts[beam], running_scores[beam], final)
    return [result.kept[0][1] for result in results]


def _advance(
    result: _Hypotheses,
    texts: list[list[int]],
    first_beam: int,
    candidates: list[tuple[float, int, int]],
    length: int,
    end_id: int,
    pad_id: int,
) -> list[tuple[float, int, int]]:
    """The next running beams of one row from its 2 * beams best continuations; ended ones become hypotheses."""
    if result.done:
        return [(0.0, first_beam, pad_id)] * result.beam_size
    running: list[tuple[float, int, int]] = []
    for place, (score, beam, token) in enumerate(candidates):
        if token == end_id:
            if place < result.beam_size:  # an ended text counts only among the best `beam_size`
                result.add(texts[first_beam + beam], score, length)
        elif len(running) < result.beam_size:
            running.append((score, first_beam + beam, token))
    return running
