"""What the matrices of similarity show."""

from made.tables import draw_similarity, make_settings, similarity_rows


def test_similarity_has_the_weights_of_the_row_and_shows_what_is_above_its_null():
    tasks = ["word_count", "topic", "toxicity"]
    figure = draw_similarity(
        similarity_rows(["a", "b"], tasks, ["toxicity"]), make_settings(["a", "b"], tasks)
    )
    layers, of_tasks, subspaces = figure.canvas.axes[:3]
    assert [axes.get_title() for axes in (layers, of_tasks, subspaces)] == [
        *("layers", "tasks, layer 4", "erased subspaces, layer 4")
    ]
    # Without the embeddings, above and below the diagonal.
    numbers = [(text.get_text(), text.get_fontweight()) for text in layers.texts[:12]]
    assert numbers[:3] == [(".75", "bold"), (".25", "normal"), (".25", "normal")]
    assert numbers[3] == (".65", "bold")
    assert sum(bool(patch.get_hatch()) for patch in layers.patches) == 8
    assert [text.get_text() for text in of_tasks.texts] == [".75", ".65"]
    assert [text.get_text() for text in subspaces.texts] == [".70", ".70"]
    titles = [axes.get_title() for axes in figure.canvas.axes]
    assert titles.count("models, middle layer") == titles.count("models, last layer") == 1
    # The last layer alone, in both directions, and of models.
    panels = [row["panel"] for row in figure.rows]
    counts = {name: panels.count(name) for name in dict.fromkeys(panels)}
    assert counts == {"layers": 40, "tasks": 12, "subspaces": 6, "models_middle": 2, "models_last": 2}


def test_a_study_of_one_task_and_one_layer_has_no_pairs():
    figure = draw_similarity([], make_settings(["a"], ["topic"]))
    assert "nothing to compare" in [text.get_text() for axes in figure.canvas.axes for text in axes.texts]
