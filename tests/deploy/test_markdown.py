"""Markdown as GitHub reads it."""

from deploy.markdown import markdown_table


def test_numbers_stand_to_the_right_and_texts_to_the_left() -> None:
    table = markdown_table(["layer", "groups", "what became of it"], [["`a`", 7, "gone"]], texts=["what became of it"])
    assert table.splitlines() == [
        "| layer | groups | what became of it |",
        "| ----- | -----: | ----------------- |",
        "| `a`   |      7 | gone              |",
    ]
