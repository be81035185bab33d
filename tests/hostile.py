"""Labels as an attacker would write them, drawn by a seed: for tests that they stay text in every format."""

import random

PIECES = (
    "<", ">", "&", "\"", "'", '\\', "{", "}", "$", "%", "#", "_", "^", "~", "`", "|", "[", "]", "(", ")", "=", "+",
    "-", "@", "\t", "\r", "\n", "\x00", "\x07", "\x1b[31m", "\x1b]52;c;UFdO\x07", "\x7f", "\x85", "\x9b", "\u200b",
    "\u202e", "\u2028", "\ufeff", "\ufffe", "\uffff", "\ud800", "\U0001f9ea", "\u4e2d", "ż", "é", "ŷ₄", "∂L₄/∂W",
    "→", "–", "…", "]]>", "<!--", "-->", "<![CDATA[", "</td></tr>", "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>", "javascript:alert(1)", "&lt;", "&#60;", "&amp;", "\\input{/etc/passwd}",
    "\\write18{id}", "\\end{document}", '\\\\', "$$", "%%", "^^41", "#1", "\\csname x\\endcsname", "=1+1",
    "=cmd|' /C calc'!A0", "@SUM(1)", "+1", "-1", ",", ";", "--", "---", "``", "''", "?`", "!`", ",,", "<<", ">>",
    "{{script}}", "${alert(1)}`", "\\u003c", "\\x3c", '"><svg onload=alert(1)>', '" onload="alert(1)', "url(#x)",
    "' href='javascript:alert(1)", "\u200f", "\u2029", "e\u0301", "漢", "\\N",
    " ", "  ", "a", "Z", "0", "word", "s3", "x" * 40,
)  # fmt: skip


def labels(count: int, seed: int = 0) -> list[str]:
    """That many labels of one to eight pieces, every piece at least once, and three of 10,000 characters."""
    draw = random.Random(seed)
    found = [*PIECES, "a" * 10_000, "<" * 10_000, "\\" * 10_000]
    while len(found) < count:
        found.append("".join(draw.choice(PIECES) for _ in range(draw.randint(1, 8))))
    return found[:count]
