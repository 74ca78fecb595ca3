"""Reports of a plant, a sentence and three readings, and an encoder of Hugging Face with two heads; the rules are known."""

import numpy as np

WORDS = {
    "who": ["operator", "driver", "guard", "visitor"],
    "machine": ["pump", "fan", "crane", "turbine"],
    "place": ["gate", "yard", "hall", "roof"],
    "adverb": ["now", "not"],
    "state": ["smoking", "leaking", "humming", "dusty"],
}
HOURS = {"pump": 2.0, "fan": 3.0, "crane": 5.0, "turbine": 8.0}
ROLES = ("CLS", "who", "colon", "the", "machine", "at", "the 2", "place", "is", "adverb", "state")
READINGS = ("temperature", "age", "load")
EMBEDDING = "encoder.embeddings.dropout"


def made_reports(rows, seed):
    """Sentences, readings ``(row, 3)``, and labels: urgent is "now smoking" or "now leaking" or hot; hours are of
    the machine and its age."""
    rng = np.random.default_rng(seed)
    said = {role: rng.choice(words, rows) for role, words in WORDS.items()}
    text = [f"{w} : the {m} at the {p} is {a} {s}" for w, m, p, a, s in zip(*said.values(), strict=True)]
    columns = [rng.normal(60, 15, rows), rng.uniform(0, 30, rows), rng.normal(50, 10, rows)]
    readings = np.stack(columns, axis=1).astype("float32")
    is_bad = np.isin(said["state"], ["smoking", "leaking"]) & (said["adverb"] == "now")
    hours = np.array([HOURS[word] for word in said["machine"]]) + 0.1 * readings[:, 1]
    labels = {"urgent": (is_bad | (readings[:, 0] > 80)).astype("float32"), "hours": hours.astype("float32")}
    return text, readings, {head: y[:, None] for head, y in labels.items()}


def made_tokenizer():
    """A word for each id; [CLS] stands first."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = sorted({":", "the", "at", "is", *(word for words in WORDS.values() for word in words)})
    made = Tokenizer(
        models.WordLevel({w: i for i, w in enumerate(["[PAD]", "[UNK]", "[CLS]", *words])}, unk_token="[UNK]")
    )
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 2)])
    return made


def made_network(tokenizer, width=32):
    """A BERT whose first position is joined with the readings; the global seed is the caller's."""
    import torch
    from transformers import BertConfig, BertModel

    class Reports(torch.nn.Module):
        def __init__(self):
            super().__init__()
            config = BertConfig(
                vocab_size=tokenizer.get_vocab_size(),
                hidden_size=width,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=2 * width,
                max_position_embeddings=16,
            )
            self.encoder = BertModel(config, add_pooling_layer=False)
            self.joint = torch.nn.Sequential(torch.nn.Linear(width + 3, 32), torch.nn.GELU())
            self.urgent, self.hours = torch.nn.Linear(32, 1), torch.nn.Linear(32, 1)

        def forward(self, input_ids, readings):
            first = self.encoder(input_ids).last_hidden_state[:, 0]
            scaled = (readings - torch.tensor([60.0, 15.0, 50.0])) / torch.tensor([15.0, 8.7, 10.0])
            joined = self.joint(torch.cat([first, scaled], dim=1))
            return {"urgent": torch.sigmoid(self.urgent(joined)), "hours": self.hours(joined)}

    return Reports()


def ids_of(tokenizer, text):
    return np.array([tokenizer.encode(sentence).ids for sentence in text])
