"""Patterns and words of first task files, by language and kind of task.

{text} stands for all fields, {first} and {second} for the two of a pair. The last two patterns of
each kind end in the mask, so that they suit causal models too. The English ones follow Schick and
Schuetze, EACL 2021 (arXiv 2001.07676), section 4.1, and NAACL 2021 (arXiv 2009.07118); the others
say the same, and were measured with no model.
"""

from __future__ import annotations

from collections.abc import Iterable

ENGLISH = "en"

KINDS = ("topic", "sentiment", "pair")

# By language, then kind: the patterns in order.
_TEMPLATES: dict[str, dict[str, tuple[str, str, str, str]]] = {
    "en": {
        "topic": (
            "{mask} : {text}",
            "[ category: {mask} ] {text}",
            "{text} This is about {mask}",
            "{text} Topic: {mask}",
        ),
        "sentiment": (
            "It was {mask} . {text}",
            "Just {mask} ! {text}",
            "{text} In summary, it was {mask}",
            "{text} All in all, I found it {mask}",
        ),
        "pair": (
            "{second} ? || {mask} , {first}",
            '" {second} " ? || {mask} , " {first} "',
            "{first} Question: {second} ? Answer: {mask}",
            "{first} So, is this right: {second} ? {mask}",
        ),
    },
    "de": {
        "topic": (
            "{mask} : {text}",
            "[ Kategorie: {mask} ] {text}",
            "{text} Hier geht es um {mask}",
            "{text} Thema: {mask}",
        ),
        "sentiment": (
            "Es war {mask} . {text}",
            "Einfach {mask} ! {text}",
            "{text} Kurz gesagt, es war {mask}",
            "{text} Alles in allem fand ich es {mask}",
        ),
        "pair": (
            "{second} ? || {mask} , {first}",
            '" {second} " ? || {mask} , " {first} "',
            "{first} Frage: {second} ? Antwort: {mask}",
            "{first} Stimmt das also: {second} ? {mask}",
        ),
    },
    "es": {
        "topic": (
            "{mask} : {text}",
            "[ categoría: {mask} ] {text}",
            "{text} Esto trata de {mask}",
            "{text} Tema: {mask}",
        ),
        "sentiment": (
            "Fue {mask} . {text}",
            "Simplemente {mask} . {text}",
            "{text} En resumen, fue {mask}",
            "{text} En general, me pareció {mask}",
        ),
        "pair": (
            "¿ {second} ? || {mask} , {first}",
            '" {second} " ? || {mask} , " {first} "',
            "{first} Pregunta: ¿ {second} ? Respuesta: {mask}",
            "{first} Entonces, ¿es cierto: {second} ? {mask}",
        ),
    },
    "fr": {
        "topic": (
            "{mask} : {text}",
            "[ catégorie : {mask} ] {text}",
            "{text} Il s'agit de {mask}",
            "{text} Sujet : {mask}",
        ),
        "sentiment": (
            "C'était {mask} . {text}",
            "Tout simplement {mask} ! {text}",
            "{text} En résumé, c'était {mask}",
            "{text} Dans l'ensemble, j'ai trouvé ça {mask}",
        ),
        "pair": (
            "{second} ? || {mask} , {first}",
            "« {second} » ? || {mask} , « {first} »",
            "{first} Question : {second} ? Réponse : {mask}",
            "{first} Alors, est-ce vrai : {second} ? {mask}",
        ),
    },
    "zh": {
        "topic": (
            "{mask}：{text}",
            "[ 类别：{mask} ] {text}",
            "{text} 这段话的主题是{mask}",
            "{text} 主题：{mask}",
        ),
        "sentiment": (
            "很{mask}。{text}",
            "真的{mask}！{text}",
            "{text} 总之，很{mask}",
            "{text} 总的来说，我觉得很{mask}",
        ),
        "pair": (
            "{second}？ || {mask}，{first}",
            "“{second}”？ || {mask}，“{first}”",
            "{first} 问题：{second}？答案：{mask}",
            "{first} 那么，这对吗：{second}？{mask}",
        ),
    },
    "ja": {
        "topic": (
            "{mask}：{text}",
            "[ カテゴリー：{mask} ] {text}",
            "{text} この文章のテーマは{mask}",
            "{text} テーマ：{mask}",
        ),
        "sentiment": (
            "とても{mask}。{text}",
            "本当に{mask}！{text}",
            "{text} 要するに、とても{mask}",
            "{text} 全体として、とても{mask}",
        ),
        "pair": (
            "{second}？ || {mask}、{first}",
            "「{second}」？ || {mask}、「{first}」",
            "{first} 質問：{second}？答え：{mask}",
            "{first} では、これは正しいですか：{second}？{mask}",
        ),
    },
    "ar": {
        "topic": (
            "{mask} : {text}",
            "[ الفئة: {mask} ] {text}",
            "{text} هذا النص عن {mask}",
            "{text} الموضوع: {mask}",
        ),
        "sentiment": (
            "كان {mask} . {text}",
            "ببساطة {mask} ! {text}",
            "{text} باختصار، كان {mask}",
            "{text} بشكل عام، وجدته {mask}",
        ),
        "pair": (
            "{second} ؟ || {mask} ، {first}",
            '" {second} " ؟ || {mask} ، " {first} "',
            "{first} سؤال: {second} ؟ جواب: {mask}",
            "{first} إذن، هل هذا صحيح: {second} ؟ {mask}",
        ),
    },
}

LANGUAGES = tuple(_TEMPLATES)

_NAMES = {
    "topic": ("headline", "category", "about", "topic"),
    "sentiment": ("it_was", "just", "in_summary", "all_in_all"),
    "pair": ("plain", "quoted", "question", "so"),
}

# What a label says, by its name in English or in the language itself.
_POSITIVE = {
    "positive",
    "pos",
    "positiv",
    "positivo",
    "positif",
    "正面",
    "积极",
    "肯定的",
    "إيجابي",
}
_POSITIVE |= {"ポジティブ"}
_NEGATIVE = {"negative", "neg", "negativ", "negativo", "négatif", "负面", "消极", "سلبي"}
_NEGATIVE |= {"否定的", "ネガティブ"}
_NEUTRAL = {"neutral", "neutre", "中性", "中立", "محايد"}
_MIXED = {"mixed", "gemischt", "mixto", "mitigé"}
_YES = {"entailment", "yes", "true", "duplicate", "ja", "sí", "oui", "是", "はい", "نعم"}
_NO = {"not entailment", "contradiction", "no", "false", "not duplicate", "nein", "non", "否"}
_NO |= {"いいえ", "لا"}

# Words for these, in that order: for positive, negative, neutral and mixed; yes, no and maybe.
_WORDS: dict[str, tuple[tuple[tuple[str, ...], ...], tuple[str, str, str]]] = {
    "en": ((("great", "good"), ("terrible", "bad"), ("okay",), ("mixed",)), ("Yes", "No", "Maybe")),
    "de": (
        (("toll", "gut"), ("furchtbar", "schlecht"), ("okay",), ("gemischt",)),
        ("Ja", "Nein", "Vielleicht"),
    ),
    "es": (
        (("genial", "bueno"), ("terrible", "malo"), ("normal",), ("variado",)),
        ("Sí", "No", "Quizás"),
    ),
    "fr": (
        (("excellent", "bon"), ("terrible", "mauvais"), ("moyen",), ("mitigé",)),
        ("Oui", "Non", "Peut-être"),
    ),
    "zh": ((("好", "棒"), ("差", "糟"), ("一般",), ("复杂",)), ("是", "否", "也许")),
    "ja": ((("良い",), ("悪い",), ("普通",), ("複雑",)), ("はい", "いいえ", "たぶん")),
    "ar": ((("رائع", "جيد"), ("سيئ",), ("عادي",), ("متفاوت",)), ("نعم", "لا", "ربما")),
}


def patterns_of(kind: str, language: str = ENGLISH) -> dict[str, str]:
    """Return the patterns of a kind of task, by name."""
    return dict(zip(_NAMES[kind], _TEMPLATES[language][kind], strict=True))


def known_words(label: str, kind: str, language: str = ENGLISH) -> tuple[str, ...] | None:
    """Return words that do better than a label's own name, where it says so plainly.

    Args:
        label: in small letters, with blanks between its words.
    """
    of_sentiment, of_pair = _WORDS[language]
    if kind == "sentiment":
        meanings: Iterable[set[str]] = (_POSITIVE, _NEGATIVE, _NEUTRAL, _MIXED)
        words: Iterable[tuple[str, ...]] = of_sentiment
    elif kind == "pair":
        meanings, words = (_YES, _NO, {"neutral"}), ((word,) for word in of_pair)
    else:
        return None
    return next((own for names, own in zip(meanings, words, strict=True) if label in names), None)
