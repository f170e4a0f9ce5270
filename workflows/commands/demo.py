"""`cosa demo`: a page to search an index, and to caption, question and compare files of one's own."""

from __future__ import annotations

import html
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cosa.errors import DataError, UserError
from cosa.tasks.captioning import Captioning
from cosa.tasks.question_answering import QuestionAnswering
from cosa.tasks.retrieval import Retrieval
from workflows.commands.chosen_checkpoint import Choice
from workflows.commands.search_page import STYLE, cards
from workflows.terminal.streams import say

if TYPE_CHECKING:
    from cosa.inference.predictor import Predictor
    from cosa.inference.search_index import Hit, SearchIndex

PORTS = 20  # that are tried, from the first one on
HITS = 12
SEARCHING, CAPTIONING, ANSWERING = Retrieval.name, Captioning.name, QuestionAnswering.name


@dataclass(frozen=True)
class Page:
    """What the page answers.

    models: by task; a task without one has no place on the page. index: to search, if there is one.
    """

    models: Mapping[str, Predictor]
    index: SearchIndex | None = None
    found: list[str] = field(default_factory=list)  # Its server gives these files, which somebody has found, and no others.

    def search(self, text: str, top: int = HITS, once_per_file: bool = False, rerank: bool = False) -> str:
        """HTML of what a text finds; arguments as of `SearchIndex.search`."""
        assert self.index is not None
        wanted, model = text.strip(), self.models[SEARCHING]
        self._note_cut(SEARCHING, [wanted])
        (hits,) = self.index.search(model.embed_text(wanted), top, once_per_file=once_per_file)
        if not rerank:
            return self._grid(hits)
        failed: list[DataError] = []
        found = self._grid(self.index.rerank(model, wanted, hits, lambda _, error: failed.append(error)))
        if failed:
            _note(f"{len(failed)} of {len(hits)} are left out; the first of them: {failed[0]}")
        return found

    def alike(self, file: str | None) -> str:
        """HTML of what looks like a file."""
        assert self.index is not None
        (hits,) = self.index.search(self.models[SEARCHING].embed_video(_chosen(file)), HITS)
        return self._grid(hits)

    def _grid(self, hits: Sequence[Hit]) -> str:
        """Cards of what was found, whose videos play: the page's server gives the files of the index's folder."""
        assert self.index is not None
        return f'<ol class="hits">{cards(hits, self._link, self.index.root)}</ol>' if hits else "<p>Nothing was found.</p>"

    def _link(self, path: Path) -> str:
        """Let the page's server give a file that was found, and return where."""
        if str(path.absolute()) not in self.found:
            self.found.append(str(path.absolute()))
        return _address(path)

    def describe(self, file: str | None) -> str:
        """The caption of a file."""
        return str(self.models[CAPTIONING].caption(_chosen(file)))

    def answer(self, file: str | None, question: str) -> str:
        """The answer to a question about a file."""
        self._note_cut(ANSWERING, [question.strip()])
        return str(self.models[ANSWERING].answer(_chosen(file), question.strip()))

    def match(self, file: str | None, texts: str) -> dict[str, float]:
        """How well each line of a text fits a file, 0 to 1."""
        lines = list(dict.fromkeys(line.strip() for line in texts.splitlines() if line.strip()))
        if not lines:
            raise UserError("no text yet; write one or several, a line each")
        self._note_cut(SEARCHING, lines)
        return dict(zip(lines, map(float, self.models[SEARCHING].match(lines, _chosen(file))), strict=True))

    def _note_cut(self, task: str, texts: Sequence[str]) -> None:
        """Show a note on the page if a model will read only the beginnings of texts."""
        note = self.models[task].note_of_cut(texts)
        if note is not None:
            _note(note)


def _note(text: str) -> None:
    """Show a note on the page."""
    import gradio as gr

    gr.Info(html.escape(text))  # It is shown as HTML.


def _chosen(file: str | None) -> str:
    """The file that somebody has given.

    Raises:
        UserError: nobody has.
    """
    if not file:
        raise UserError("no file yet; give a video or a picture first")
    return file


def _address(path: Path) -> str:
    """Where the page's server gives a file: one that was found, or uploaded."""
    return f"/gradio_api/file={quote(str(path.absolute()))}"


def _short(path: Path | None) -> str:
    """A path as people read it: from the working folder on, where it lies there."""
    full = path.absolute() if path is not None else Path()
    return str(full.relative_to(Path.cwd()) if full.is_relative_to(Path.cwd()) else full)


def _preview(file: str | None) -> str:
    """HTML that shows an uploaded file."""
    from cosa.data.picture_files import is_picture

    if not file:
        return ""
    address = html.escape(_address(Path(file)))
    return f'<img alt="" src="{address}">' if is_picture(Path(file)) else f'<video controls src="{address}"></video>'


def blocks(page: Page) -> Any:
    """The page, as Gradio shows it: a tab for the index, and one for files of one's own."""
    import gradio as gr

    with gr.Blocks(title="COSA", analytics_enabled=False) as made:
        gr.Markdown("# COSA\n" + "  \n".join(f"{task}: `{_short(model.checkpoint)}`" for task, model in page.models.items()))
        if page.index is not None:
            with gr.Tab("Search"):
                _search(page, page.index)
        with gr.Tab("Your file"):
            with gr.Row():
                with gr.Column():
                    file = gr.File(label="A video or a picture", file_types=["video", "image"], type="filepath", elem_id="file")
                    shown = gr.HTML(elem_id="preview")
                with gr.Column():
                    answers = _ask_about(page, file)
            if page.index is not None:
                find, alike = gr.Button("Find what looks alike", elem_id="find"), gr.HTML(elem_id="alike")
                find.click(_with_warnings(page.alike), file, alike)
                answers.append(alike)
            file.change(_with_warnings(_preview), file, shown)
            file.change(lambda: [None] * len(answers), None, answers)  # They were of another file.
    return made


def _search(page: Page, index: SearchIndex) -> None:
    """The tab for the index."""
    import gradio as gr

    parts = f", {len(index)} moments" if len(index) != index.files else ""
    gr.Markdown(f"{index.files} files{parts} in `{_short(index.root)}`")
    text = gr.Textbox(label="What to look for", placeholder="a man sings on a stage", elem_id="query", autofocus=True)
    with gr.Row():
        top = gr.Radio([HITS, 2 * HITS, 5 * HITS], value=HITS, label="How many", elem_id="top")
        once = gr.Checkbox(label="Only the best moment of each file", elem_id="once", visible=bool(parts))
        rerank = gr.Checkbox(label="Compare the text with each of them once more (slower)", elem_id="rerank")
    search = gr.Button("Search", variant="primary", elem_id="search")
    gr.on([search.click, text.submit], _with_warnings(page.search), [text, top, once, rerank], gr.HTML(elem_id="found"))


def _ask_about(page: Page, file: Any) -> list[Any]:
    """What can be asked about a file, one thing for each task that has a model. Return what shows the answers."""
    import gradio as gr

    answers: list[Any] = []
    if CAPTIONING in page.models:
        caption = gr.Textbox(label="Caption", interactive=False, elem_id="caption")
        gr.Button("Caption", variant="primary", elem_id="describe").click(_with_warnings(page.describe), file, caption)
        answers.append(caption)
    if ANSWERING in page.models:
        question = gr.Textbox(label="Question", placeholder="what is the man doing?", elem_id="question")
        answer = gr.Textbox(label="Answer", interactive=False, elem_id="answer")
        ask = gr.Button("Ask", elem_id="ask")
        gr.on([ask.click, question.submit], _with_warnings(page.answer), [file, question], answer)
        answers.append(answer)
    if SEARCHING in page.models:
        texts = gr.Textbox(label="Which of these texts fits? One a line", lines=3, elem_id="texts")
        fits = gr.Label(label="How well each fits", num_top_classes=10, show_heading=False, elem_id="fits")
        gr.Button("Compare", elem_id="compare").click(_with_warnings(page.match), [file, texts], fits)
        answers.append(fits)
    return answers


def _with_warnings(answer: Callable[..., Any]) -> Callable[..., Any]:
    """Show a mistake of the user's as a message on the page, and no answer."""

    def asked(*given: Any) -> Any:
        import gradio as gr

        try:
            return answer(*given)
        except UserError as error:
            gr.Warning(html.escape(str(error)))  # It is shown as HTML.
            return None

    return asked


def load_page(choice: Choice, index_file: Path | None) -> Page:
    """Load an index, and for each task the checkpoint that is named, or else the newest that was trained for it.

    Raises:
        UserError: the index or a checkpoint cannot be used, or there is none for any task.
    """
    from cosa.inference.predictor import load
    from cosa.inference.search_index import SearchIndex

    index = SearchIndex.open(index_file) if index_file is not None else None
    addresses: dict[str, str] = {}
    refusals: list[UserError] = []
    for task in (SEARCHING, CAPTIONING, ANSWERING):
        try:
            addresses[task] = choice.checkpoint_for(index) if task == SEARCHING else choice.checkpoint(task)
        except UserError as error:
            refusals.append(error)
    if not addresses:
        raise refusals[0]
    as_index = index.header.settings.load_arguments if index is not None else {}
    models = {
        address: load(address, **(as_index if address == addresses.get(SEARCHING) else {}))
        for address in dict.fromkeys(addresses.values())
    }
    page = Page({task: models[address] for task, address in addresses.items()}, index)
    if index is not None:
        if SEARCHING not in page.models:
            raise refusals[0]
        index.check_model(page.models[SEARCHING])
    return page


def serve_demo(choice: Choice, index_file: Path | None, port: int, *, open_browser: bool = False) -> None:
    """Serve the page on 127.0.0.1 until it is interrupted.

    Args:
        choice: of the checkpoints.
        index_file: that `cosa index` wrote; it is searched.
        port: the first one that is tried.
        open_browser: also open the page.

    Raises:
        UserError: Gradio is not installed, no port is free, or a checkpoint or the index cannot be used.
    """
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise UserError("cosa demo needs Gradio; install it with `pip install 'cosa-experiments[demo]'`") from error
    _serve(load_page(choice, index_file), _free_port(port), open_browser=open_browser)


def _serve(page: Page, port: int, *, open_browser: bool) -> None:
    import gradio as gr
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    fonts = ["system-ui", "sans-serif"]  # The usual ones would be fetched from elsewhere.
    made = blocks(page)
    made.launch(
        server_name="127.0.0.1",
        server_port=port,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        ssr_mode=False,
        footer_links=[],
        app_kwargs={"middleware": [Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])]},
        inbrowser=open_browser,
        theme=gr.themes.Default(font=fonts, font_mono=["monospace"]),
        css=STYLE + "#preview img, #preview video { max-height: 24rem; object-fit: contain; width: 100%; }",
    )
    made.allowed_paths = page.found  # It grows with what is found.
    print(f"http://127.0.0.1:{port}  (Ctrl-C ends it)", flush=True)
    try:
        made.block_thread()
    finally:
        made.close()


def _free_port(first: int) -> int:
    """Return the first free port from one on."""
    for port in range(first, first + PORTS):
        with closing(socket.socket()) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port != first:
            say(f"port {first} is in use; this is {port}")
        return port
    raise UserError(f"the ports {first} to {first + PORTS - 1} are in use; give another one with --port")
