"""Tables of a study, and odd characters in them, in Markdown and LaTeX."""

import re

import pytest

from deploy.markdown import markdown_text
from study.markup import latex, latex_text, markdown
from study.text_tables import comparison_table, full_tables, paper_table
from tests.study.sample_studies import ODD, STUDIES, odd_study


@pytest.mark.parametrize("study", [*STUDIES.values(), odd_study], ids=[*STUDIES, "odd"])
def test_markdown_tables_are_whole_and_aligned(study) -> None:
    for table in (paper_table(study()), comparison_table(study()), *full_tables(study())):
        lines = [line for line in markdown(table).splitlines() if line.startswith("|")]
        assert len({len(line) for line in lines}) <= 1
        assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} <= {len(table.columns) + 1}
        rows = sum(len(section.rows) + bool(section.title) for section in table.sections)
        assert len(lines) == (2 + rows) * bool(table.sections)


@pytest.mark.parametrize("study", [*STUDIES.values(), odd_study], ids=[*STUDIES, "odd"])
def test_latex_tables_are_balanced(study) -> None:
    for table in (paper_table(study()), comparison_table(study()), *full_tables(study())):
        text = latex(table, study().name)
        bare = re.sub(r"\\[{}$&#%_]", "", text)
        assert bare.count("{") == bare.count("}")
        assert bare.count("$") % 2 == 0
        assert re.findall(r"\\begin\{(\w+)\}", text) == re.findall(r"\\end\{(\w+)\}", text)[::-1]
        assert [text.count(f"\\{rule}") for rule in ("toprule", "midrule", "bottomrule", "caption{", "label{")] == [1] * 5
        body = bare[bare.index("\\toprule") : bare.index("\\bottomrule")]
        for line in (line for line in body.splitlines() if line.endswith("\\\\")):
            more = sum(int(span) - 1 for span in re.findall(r"\\multicolumn\{(\d+)\}", line))
            assert line.count("&") + 1 + more == len(table.columns), line
        assert text.isascii()


def test_odd_names_are_text_in_markdown_and_latex() -> None:
    assert markdown_text(ODD) == r"a\_b &amp; 50 % &lt;script&gt; \| {x} \$y\$ \#1"
    assert latex_text(ODD) == r"a\_b \& 50 \% $<$script$>$ $|$ \{x\} \$y\$ \#1"
    assert (
        latex_text("\\x^~ λ ± − ↑ “é” 中 ő")
        == r"\textbackslash{}x\textasciicircum{}\textasciitilde{} $\lambda$ $\pm$ $-$ $\uparrow$ ``é'' ? ?"
    )
    assert markdown_text("[a](b) [1, 2]") == r"[a\](b) [1, 2]"
    assert markdown_text(ODD) in markdown(paper_table(odd_study()))
    assert latex_text(ODD) in latex(paper_table(odd_study()), "odd")
