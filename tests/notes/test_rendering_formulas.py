"""Formulas: what is one, what it becomes, and what becomes of one that cannot be."""

from __future__ import annotations

import re

import pytest

from notes.rendering import parse
from notes.rendering.formulas import MAX_NOTE, MAX_PROBLEMS
from notes.rendering.mathml import MAX_LENGTH, FormulaError, mathml
from tests.notes.rendering_vault import Vault, html_of, source

X = (
    "<math><semantics><mrow><mi>x</mi></mrow>"
    '<annotation encoding="application/x-tex">x</annotation></semantics></math>'
)
DISPLAYED = X.replace("<math>", '<math display="block">')
BLOCK = f'<div class="formula">{DISPLAYED}</div>\n'


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a $x$ b", f"<p>a {X} b</p>\n"),
        ("**$x$** b", f"<p><strong>{X}</strong> b</p>\n"),
        ("a $$x$$ b", f'<p>a <span class="formula">{DISPLAYED}</span> b</p>\n'),
        ("$$x$$", BLOCK),
        ("$$\nx\n$$", BLOCK),
        ("$$x\n$$ after", BLOCK + "<p>after</p>\n"),
        ("a\n$$\nx\n$$\nb", f"<p>a</p>\n{BLOCK}<p>b</p>\n"),
        ("> $$\n> x\n> $$", f"<blockquote>\n{BLOCK}</blockquote>\n"),
        ("- $$\n  x\n  $$", f"<ul>\n<li>\n{BLOCK}</li>\n</ul>\n"),
        ("$$\nx\n$$\n^id", BLOCK.replace(">", ' id="^id">', 1)),
        ("[[gone|$x$]]", f'<p><span class="unresolved">{X}</span></p>\n'),
        ("`$x$` \\$x$ $x\\$", "<p><code>$x$</code> $x$ $x$</p>\n"),
        ("$5 and $6, 8$9", "<p>$5 and $6, 8$9</p>\n"),
        ("$ x$ $x $ $x$1", "<p>$ x$ $x $ $x$1</p>\n"),
        ("$$ $$", "<p>$$ $$</p>\n"),
        ("$$\n\nnever closed", "<p>$$</p>\n<p>never closed</p>\n"),
        ("- $$\n\nno item", "<ul>\n<li>$$</li>\n</ul>\n<p>no item</p>\n"),
        ("```\n$$\nx\n$$\n```", "<pre><code>$$\nx\n$$\n</code></pre>\n"),
    ],
)
def test_formula(text, html):
    assert html_of(text) == html


def test_formula_is_its_source_where_text_is_plain():
    note = parse(source("# On $x^2$\n\nWhat $x$ is."))
    assert (note.title, note.title_anchor) == ("On x^2", "on-x2")
    assert note.excerpt == "What x is."


@pytest.mark.parametrize(
    ("tex", "reason"),
    [
        (r"\foo{x}", r"\foo is not known"),
        (r"\ce{H2O}", r"\ce is not known"),
        (r"\frac{", "no available tokens"),
        ("x^2^3", "double superscripts"),
        (r"\left( x", "extra left or missing right"),
        (r"\begin{foo} a \end{foo}", "the environment foo is not known"),
        ("a & b", "& is in no table"),
        (r"\def\a{\a\a}\a", r"\def is not known"),
        (r"\newcommand{\a}{\a\a}\a", r"\newcommand is not known"),
        ("{" * 2000 + "}" * 2000, "it is nested too deep"),
        ("x" * (MAX_LENGTH + 1), "it is longer than 5000 characters"),
    ],
)
def test_what_cannot_be_shown_right_is_not_shown(tex, reason):
    with pytest.raises(FormulaError, match=f"^{re.escape(reason)}$"):
        mathml(tex, is_display=False)


def test_formula_that_cannot_be_shown_is_code_and_a_problem():
    vault = Vault({"Note.md": "a $\\foo<b>$\n\n$$\n\\foo\n$$"})
    note = vault.render("Note.md")
    assert note.html == (
        '<p>a <code class="formula">\\foo&lt;b&gt;</code></p>\n'
        '<pre class="formula"><code>\\foo</code></pre>\n'
    )
    assert note.problems == (
        "formula '\\\\foo<b>' is shown as code: \\foo is not known",
        "formula '\\\\foo' is shown as code: \\foo is not known",
    )
    assert note.error is None


def test_problems_and_formulas_of_a_note_are_bounded():
    note = parse(source("$\\foo$ " * 100))
    assert len(note.problems) == MAX_PROBLEMS
    tex = "x" * 1000
    note = parse(source(f"${tex}$\n\n" * (MAX_NOTE // 1000 + 1)))
    assert note.problems == (
        f"formula {tex[:60]!r} is shown as code: "
        "the note has more than 200000 characters of formulas",
    )


@pytest.mark.parametrize(
    ("tex", "body"),
    [
        (r"\text{<script>x</script>}", "<mtext>&lt;script&gt;x&lt;/script&gt;</mtext>"),
        (r"\href{javascript:x}{y}", "<mrow><mrow><mi>y</mi></mrow></mrow>"),
        (r"\style{color:red}{y}", "<mrow><mi>y</mi></mrow>"),
        (r"\class{a}{y}", "<mrow><mi>y</mi></mrow>"),
        (
            r"\color{red\" onload=\"x} y",
            '<mstyle mathcolor="red\\&quot; onload=\\&quot;x"><mi>y</mi></mstyle>',
        ),
    ],
)
def test_formula_runs_nothing(tex, body):
    html = mathml(tex, is_display=False)
    assert html.startswith(f"<math><semantics><mrow>{body}</mrow><annotation")


def test_columns_are_aligned_by_classes():
    html = mathml(r"\begin{cases} a & b \end{cases}", is_display=True)
    assert html.count(' class="align-left"') == 2


def body_of(tex, *, is_display=True):
    html = mathml(tex, is_display=is_display)
    return html.partition("<semantics>")[2].partition("<annotation")[0]


@pytest.mark.parametrize(
    "name", ["align", "align*", "aligned", "alignedat", "split", "eqnarray"]
)
def test_equations_are_aligned_and_have_no_numbers(name):
    columns = "{2}" if name == "alignedat" else ""
    sign = "&=&" if name == "eqnarray" else "&="
    body = body_of(
        rf"\begin{{{name}}}{columns} x {sign} 1 \\[4pt] y {sign} 2 \end{{{name}}}"
    )
    assert body.count("<mtr>") == 2
    assert body.count('class="align-right"') == body.count('class="align-left"') == 2
    assert not re.search(r"&|4pt|\(1\)", body)


def test_place_of_a_table_in_its_line_is_no_part_of_it():
    tex = r"\begin{aligned}[t] x &= 1 \end{aligned}"
    assert body_of(tex) == body_of(tex.replace("[t]", ""))


@pytest.mark.parametrize(
    "tex",
    [
        r"x \\ y",
        r"x \\[1em] y \\",
        r"\begin{gathered} x \\ y \end{gathered}",
        r"\begin{multline} x \\ y \end{multline}",
    ],
)
def test_lines_are_below_one_another(tex):
    assert (
        '<mtable displaystyle="true"><mtr><mtd><mi>x</mi></mtd></mtr>'
        "<mtr><mtd><mi>y</mi></mtd></mtr></mtable>"
    ) in body_of(tex)


@pytest.mark.parametrize(
    ("tex", "tag"),
    [
        (r"\lim_{x} a", "munder"),
        (r"a \sum_{x} a", "munder"),
        (r"\max_x^y a", "munderover"),
        (r"\limsup_x a", "munder"),
        (r"\bigoplus_x a", "munder"),
        (r"\operatorname*{argmax}_x a", "munder"),
        (r"\lim\nolimits_x a", "msub"),
        (r"\ln_x a", "msub"),
        (r"\int_x^y a", "msubsup"),
        (r"b_x a", "msub"),
    ],
)
def test_limits_are_below_what_has_limits(tex, tag):
    body = body_of(tex)
    assert set(re.findall("<(munderover|munder|mover|msubsup|msub)>", body)) == {tag}


def test_limits_are_beside_their_sign_in_a_line_of_text():
    assert '<munder><mo movablelimits="true">lim</mo>' in body_of(
        r"\lim_x", is_display=False
    )


@pytest.mark.parametrize(
    ("tex", "text"),
    [
        (r"\boldsymbol{aA\alpha1+}", "𝒂𝑨𝜶𝟏+"),
        (r"\bm{x}", "𝒙"),
        (r"\mathscr{ABe}", "𝒜ℬℯ"),
        (r"\mathbf{\alpha}", "𝛂"),
        (r"\mathbb{1R}", "𝟙ℝ"),
        (r"\Big\{ \Big\| \Big\}", "{‖}"),
    ],
)
def test_letters_are_of_their_style(tex, text):
    assert re.sub("<.*?>", "", body_of(tex)) == text


def test_one_upright_letter_is_upright():
    assert body_of(r"\mathrm{d}x") == (
        '<mrow><mi mathvariant="normal">d</mi><mi>x</mi></mrow>'
    )


@pytest.mark.parametrize(
    ("tex", "same"),
    [
        (
            r"\text{if $x>0$ or $\frac{1}{2}$}",
            r"{\text{if }{x>0}\text{ or }{\frac{1}{2}}}",
        ),
        (r"\mbox{$x$}", "{{x}}"),
    ],
)
def test_formulas_in_text_are_formulas(tex, same):
    assert body_of(tex) == body_of(same)


def test_a_price_in_text_is_none():
    assert "$" in body_of(r"\text{5 $ x}")


def test_lines_in_tables_are_classes_of_cells_and_rows():
    body = body_of(
        r"\begin{array}{cc|c} a & b & c \\ \hline d & e & f \\ g & h & i \end{array}"
    )
    lined = re.findall('class="[a-z -]*lined"[^>]*>(?:<mtd[^>]*>)?<mi>(.)', body)
    assert lined == ["a", "b", "e", "h"]


def test_formula_in_an_unbalanced_part_is_embedded():
    body = "<div>\n\n# One\n\n$x$\n\n</div>\n\n# Two"
    html = html_of("![[b#One]]", {"b.md": "x\n\n" + body})
    assert f"<p>{X}</p>" in html
