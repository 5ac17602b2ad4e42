"""What is in a figure is what its arrays say, and the same figure is the same file."""

import subprocess
import sys

import numpy as np
import pytest

from ser_store.errors import MetricError, StoreError, UnknownNameError
from ser_store.figures.drawing.curves import draw_curves, draw_learning_curves, draw_steps, make_curve
from ser_store.figures.drawing.matrices import draw_confusions, draw_matrix
from ser_store.figures.drawing.members import draw_accuracies, draw_difficulty, draw_reliability
from ser_store.figures.drawing.points import Mark, draw_distribution, draw_map
from ser_store.figures.drawing.style import check_suffix, check_width, choose_ink, make_figure, save_figure
from ser_store.figures.drawing.text import wrap_text
from ser_store.metrics.calibration import compute_calibration_error, compute_reliability

CONFUSION = np.array([[3, 1], [0, 4]])


def list_texts(axes):
    return [text.get_text() for text in axes.texts]


def find_lines(axes, label):
    [line] = [line for line in axes.lines if line.get_label() == label]
    return line


def test_one_confusion_matrix_is_drawn_in_counts_and_in_percent():
    counts, percent, _ = draw_confusions([CONFUSION], ["calm", "sad"], ["a@1"], title="t").axes
    assert list_texts(counts) == ["3", "1", "0", "4"]
    assert list_texts(percent) == ["75", "25", "0", "100"]
    assert [label.get_text() for label in counts.get_yticklabels()] == ["calm", "sad"]
    assert counts.get_ylim() == (2, 0)  # the first class is on top


def test_several_confusion_matrices_are_on_one_scale():
    panels = draw_confusions([CONFUSION, 2 * CONFUSION, CONFUSION], ["calm", "sad"], ["a", "b", "c"], title="t").axes
    assert [list_texts(panel)[0] for panel in panels[:3]] == ["3", "6", "3"]
    assert {panel.collections[0].get_clim() for panel in panels[:3]} == {(0.0, 1.0)}


def test_text_in_a_cell_stands_out_from_its_shade():
    for share in np.linspace(0, 1, 11):
        figure = draw_matrix([[share, 0.0, 1.0]], ["a"], ["x", "y", "z"], title="t", shaded="s", from_zero=True)
        [text] = [text for text in figure.axes[0].texts if text.get_position()[0] == 0.5]
        red, green, blue, _ = figure.axes[0].collections[0].to_rgba(share)
        assert text.get_color() in (choose_ink((red, green, blue)), "#767676")


def test_curves_mark_the_selected_step_and_where_losses_diverge():
    curve = make_curve(
        "a", [100, 200, 300], [0.5, 0.8, 0.9],
        eval_loss=[1.0, 0.5, 0.7], train_loss=[[50, 2.0], [150, 1.0]], selected=300, divergence=200,
    )  # fmt: skip
    losses, accuracy = draw_curves([curve], title="t").axes
    assert find_lines(losses, "evaluation loss").get_ydata().tolist() == [1.0, 0.5, 0.7]
    assert find_lines(losses, "training loss").get_xdata().tolist() == [50, 150]
    assert find_lines(accuracy, "accuracy").get_ydata().tolist() == [0.5, 0.8, 0.9]
    assert {find_lines(axes, "selected").get_xdata()[0] for axes in (losses, accuracy)} == {300}
    assert find_lines(losses, "losses diverge").get_xdata()[0] == 200


def test_steps_have_bars_and_a_ring_at_the_selected_step():
    bounds = [[0.4, 0.6], [0.7, 0.9]]
    curves = [make_curve(name, [10, 20], [0.5, 0.8], bounds=bounds, selected=20) for name in "ab"]
    [axes] = draw_steps(curves, title="t").axes
    ends = [segment[:, 1].tolist() for segment in axes.collections[0].get_segments()]
    assert ends == bounds
    rings = [line for line in axes.lines if line.get_markersize() == 8]
    assert [ring.get_ydata()[0] for ring in rings] == [0.8, 0.8]
    assert rings[0].get_xdata()[0] < 20 < rings[1].get_xdata()[0]


def test_a_distribution_has_all_ensembles_and_its_marks():
    marks = [Mark("chosen", 0.9, (0.8, 0.95)), Mark("alone", 0.7)]
    [axes] = draw_distribution([7, 9], [3, 1], 10, marks, title="t").axes
    heights = {round(bar.get_x() + bar.get_width() / 2, 3): bar.get_height() for bar in axes.patches}
    assert heights == {0.7: 0.75, 0.8: 0.0, 0.9: 0.25}
    assert find_lines(axes, "chosen").get_xdata()[0] == 0.9
    assert [list(line.get_xdata()) for line in axes.lines if len(set(line.get_xdata())) > 1] == [[0.8, 0.95]]


def test_a_wide_distribution_loses_no_ensemble():
    counts = np.arange(1, 400)
    [axes] = draw_distribution(np.arange(1, 400), counts, 1000, [], title="t").axes
    assert sum(bar.get_height() for bar in axes.patches) == pytest.approx(1.0)


def test_accuracies_stand_beside_their_names_with_their_intervals():
    [axes] = draw_accuracies([[0.5, 0.9]], [[[0.4, 0.6], [0.8, 1.0]]], ["a"], ["01", "02"], title="t").axes
    assert find_lines(axes, "a").get_xdata().tolist() == [0.5, 0.9]
    assert [segment[:, 0].tolist() for segment in axes.collections[0].get_segments()] == [[0.4, 0.6], [0.8, 1.0]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["01", "02"]


def test_a_reliability_diagram_has_the_bins_of_the_calibration_error():
    draw = np.random.default_rng(0)
    truth, logits = draw.integers(0, 3, 200), draw.normal(size=(200, 3))
    found = compute_reliability(truth, logits)
    holds = found.n > 0
    gaps = np.abs(found.accuracy - found.confidence)[holds]
    assert (gaps * found.n[holds]).sum() / 200 == pytest.approx(compute_calibration_error(truth, logits))
    upper, _ = draw_reliability([found], ["a"], title="t").axes
    assert find_lines(upper, "a").get_ydata().tolist() == found.accuracy[holds].tolist()


def test_the_hardest_utterances_and_the_weakest_members_stand_last():
    right = [[True, False, False], [True, True, False]]
    _, lower = draw_difficulty(right, ["a", "b"], title="t").axes
    assert [label.get_text() for label in lower.get_yticklabels()] == ["b", "a"]
    assert lower.images[0].get_array().tolist() == [[False, False, True], [False, True, True]]


def test_a_matrix_leaves_cells_without_a_share_empty_and_numbers_many_names():
    axes = draw_matrix([[0.5, np.nan]], ["lda"], ["0", "1"], title="t", shaded="accuracy").axes[0]
    assert list_texts(axes) == ["50.0"]
    names = [f"member-{place}" for place in range(9)]
    axes = draw_matrix(np.eye(9), names, names, title="t", shaded="s").axes[0]
    assert axes.get_yticklabels()[8].get_text() == "member-8  9"
    assert axes.get_xticklabels()[8].get_text() == "9"


def test_learning_curves_and_maps_have_their_points():
    [axes] = draw_learning_curves([[[10, 0.3, 0.2, 0.4], [100, 0.6, 0.5, 0.7]]], ["lda"], title="t").axes
    assert find_lines(axes, "lda").get_xydata().tolist() == [[10, 0.3], [100, 0.6]]
    [axes] = draw_map([[0, 1], [2, 3], [4, 5]], ["sad", "calm", "sad"], title="t").axes
    assert find_lines(axes, "sad").get_xydata().tolist() == [[0, 1], [4, 5]]


@pytest.mark.parametrize("suffix", [".svg", ".pdf", ".png"])
def test_a_figure_is_the_same_file_again(suffix, tmp_path):
    for place in range(2):
        figure = draw_confusions([CONFUSION], ["calm", "sad"], ["a@1"], title="of a $5 member", notes=["a note"])
        save_figure(figure, tmp_path / f"{place}{suffix}", suffix)
    assert (tmp_path / f"0{suffix}").read_bytes() == (tmp_path / f"1{suffix}").read_bytes()


def test_text_stays_text_in_svg_and_type_in_pdf(tmp_path):
    figure = draw_confusions([CONFUSION], ["calm", "sad"], ["a@1"], title="of a $5 member", notes=["a note"])
    for suffix in (".svg", ".pdf"):
        save_figure(figure, tmp_path / f"f{suffix}", suffix)
    drawn = (tmp_path / "f.svg").read_text()
    assert ">of a $5 member</text>" in drawn
    assert ">a note</text>" in drawn
    assert "<dc:date>" not in drawn
    assert b"/CIDFontType2" in (tmp_path / "f.pdf").read_bytes()  # TrueType, which editors take; 3 would be drawings


def test_no_note_leaves_the_page():
    words = "caution: paper-five-layers-layers-pool-by-speaker-paper and 22 more were trained on other utterances of "
    for width in ("column", "page"):
        figure = make_figure(width, 1, title=words * 3, notes=[words[place:] * 3 for place in range(40)])
        figure.set_dpi(300)
        figure.draw_without_rendering()
        for text in figure.texts:
            assert text.get_window_extent().x1 <= figure.bbox.width


def test_titles_wrap_and_make_the_figure_higher():
    short, long = (make_figure("column", 2, title="word " * n) for n in (1, 40))
    assert short.get_size_inches()[0] == long.get_size_inches()[0] == 3.5
    assert long.get_size_inches()[1] > short.get_size_inches()[1] + 0.3
    assert "".join(wrap_text("a+b+c@1 on test", 0.3, 8)).replace(" ", "") == "a+b+c@1ontest"


def test_reader_settings_neither_change_a_figure_nor_are_changed():
    import matplotlib

    with matplotlib.rc_context({"font.size": 30, "axes.grid": True}):
        before = dict(matplotlib.rcParams)
        figure = draw_map([[0, 1], [2, 3]], ["a", "b"], title="t")
        assert dict(matplotlib.rcParams) == before
    assert figure.axes[0].xaxis.label.get_fontsize() == 8.0


def test_figures_load_no_pyplot():
    program = (
        "import sys\n"
        "from ser_store.figures.drawing import curves, matrices, members, points\n"
        "matrices.draw_confusions([[[1]]], ['a'], ['m'], title='t')\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: draw_confusions([], ["a"], [], title="t"), "expected (0, 1, 1), one or more"),
        (lambda: draw_curves([], title="t"), "there is no curve: expected one run or more"),
        (lambda: draw_steps([make_curve("a", [1], [])], title="t"), "a has 1 steps and 0 accuracies"),
        (lambda: draw_distribution([], [], 3, [], title="t"), "expected as many, one or more"),
        (lambda: draw_accuracies([[0.5]], [[0.4, 0.6]], ["a"], ["b"], title="t"), "expected (1, 1) and (1, 1, 2)"),
        (lambda: draw_reliability([], [], title="t"), "expected as many, one or more"),
        (lambda: draw_difficulty([True], ["a"], title="t"), "expected (1, n), a row for each member"),
        (lambda: draw_matrix([[np.nan]], ["a"], ["b"], title="t", shaded="s"), "expected (1, 1), one or more of them"),
        (lambda: draw_learning_curves([[1]], ["a"], title="t"), "each curve of shape (p, 4)"),
        (lambda: draw_map([[0, 1]] * 60, range(60), title="t"), "there are 60 groups: expected at most 56"),
    ],
)
def test_what_cannot_be_drawn_is_said(draw, message):
    with pytest.raises(MetricError) as problem:
        draw()
    assert message in str(problem.value)


def test_unknown_sizes_and_types_are_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="unknown `width` 'wide': expected one of"):
        check_width("wide")
    with pytest.raises(StoreError, match=r"expected a name that ends in .svg, .pdf, .png"):
        check_suffix(tmp_path / "figure.jpg")


@pytest.mark.parametrize("width", ["column", "page"])
def test_the_longest_names_leave_room_for_the_figure(width):
    """Where axes collapse, matplotlib warns, and warnings are errors here."""
    long = "+".join(f"a-rather-long-name-of-a-run-{place}@1000" for place in range(5))
    names, classes = [long, f"{long}x"], ["surprised" * 6, "a-class-of-many-words-that-says-it-all"]
    counts = np.array([CONFUSION, CONFUSION])
    figures = [
        draw_confusions(counts, classes, names, title=long, notes=[long], width=width),
        draw_accuracies([[0.5, 0.6]] * 2, [[[0.4, 0.7]] * 2] * 2, names, names, title=long, width=width),
        draw_matrix(np.eye(2), names, names, title=long, shaded="s", width=width),
        draw_difficulty([[True, False]] * 2, names, title=long, width=width),
        draw_steps([make_curve(name, [1, 2], [0.5, 0.6]) for name in names], title=long, width=width),
        draw_curves([make_curve(name, [1, 2], [0.5, 0.6]) for name in names], title=long, width=width),
        draw_map([[0, 1], [2, 3]], names, title=long, width=width),
    ]
    for figure in figures:
        figure.draw_without_rendering()
        assert figure.axes[0].get_window_extent().width > 0.1 * figure.bbox.width
        assert figure.axes[0].get_window_extent().height > 0.03 * figure.bbox.height
