"""Texts, and small tokenizers of them made by hand and by the library of Hugging Face."""

VOCABULARY = ["[PAD]", "[UNK]", "good", "bad", "film", "un", "##able", "[CLS]"]
TEXTS = ["good film", "unable", "bad good film"]


class ByHand:
    """Splits at blanks; "unable" into two pieces."""

    pad_token_id = 0

    def __call__(self, texts):
        pieces = [text.replace("unable", "un ##able").split() for text in texts]
        return [[VOCABULARY.index(piece) for piece in row] for row in pieces]

    def decode(self, ids):
        return " ".join(VOCABULARY[i] for i in ids)


def word_pieces():
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    ids = {word: i for i, word in enumerate(VOCABULARY)}
    made = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 7)])
    return made
