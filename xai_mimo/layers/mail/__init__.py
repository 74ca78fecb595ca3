"""MAIL, the Multi-layer Attentional Interception Layer, and its published form."""

from xai_mimo.layers.mail.layer import MAIL as MAIL
