r"""Which tokens: one small language for capturing and for steering.

    selector := term (("+" | "-" | "except") term)*
    term     := set turns? slice? | "position" slice | "last" | "special" | "id:" number | text
    set      := "all" | "prompt" | "response" | "generated" | "system" | "user" | "assistant"
    turns    := "[" "turn" range "]"                     of system, user and assistant only
    slice    := "[" range "]"
    range    := index | index? ":" index?                as in Python, from the end where negative
    text     := a string in double quotes, with JSON's escapes

`+` joins sets. `-` (or `except`) takes away and always wins, wherever it stands. White space
between words is free.

Sets. `prompt` is what was put to the student and `response` everything after it. `generated` is
the part of the response that the student wrote itself: all of it, unless the row says that the
student was given its beginning (`Encoded.given`), as a row that is known to hold more than the
prompt when a reply is about to be written. A completion of a dataset counts as the student's own
words. `system`, `user` and `assistant` are what each role said, the response being the
assistant's. `user[turn -1]` is one turn, a run of tokens of one role; `[turn 1:]` several.

Positions. A slice counts the ordinary tokens of its set in order: `user[0]` is the first token of
what the user said, `response[0:8]` the first eight of the reply. `position` counts every token of
the row, special ones included, and `last` is the last token of the prompt; both match whatever
stands there.

Tokens. `id:42` is every token with that id. `"Paris"` is every place where the row holds the very
tokens that the tokenizer writes the text with: as the start of a text, after a space or after a
line break. Of a text that ends in the prompt all tokens match. Of one that ends in the response
only the token that completes it does: when the others were read, it was not known to come.

Special tokens (start, end, turn marks, template scaffolding) never match unless they are named:
by `special`, which is all of them, by id, by their own text as `"<|end|>"`, or by the place where
they stand. `all + special` is every token. Taking away a whole set takes its special tokens too.
Pads are no tokens: positions are counted in the row without them.

Whether a token matches depends on the row up to that token alone, except where a selector counts
from the end of something that a reply makes longer (`response[-1]`); such a selector can read a
finished row, but cannot steer a reply. That is why a prompt and a reply read at once and the same
reply written token by token are edited at the same places.

`str` of a selector is its canonical form: terms in a fixed order, none twice. Selectors that are
equal have the same one, so it is what to hash, and reading it gives an equal selector.
"""

from selfsteer.steering.selectors.grammar import parse
from selfsteer.steering.selectors.selector import Rule, Selector
from selfsteer.steering.selectors.terms import Mask, Set, Text, TokenId

__all__ = ["Mask", "Rule", "Selector", "Set", "Text", "TokenId", "parse"]
