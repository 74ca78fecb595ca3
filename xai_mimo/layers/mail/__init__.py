"""MAIL, the Multi-layer Attentional Interception Layer.

``layer`` (what users build) is made of ``scoring`` (what a score may depend on) and ``normalizers`` (how scores
compete); ``published`` is the layer under the name and signature of its article. There is no ``summary``:
``xai_mimo.layers.summarise`` takes the mean of each of its maps.

Wing law: imports what stands beside the wings in ``xai_mimo.layers``, ``core`` and ``sowing``, and no other wing.
"""

from xai_mimo.layers.mail.layer import MAIL as MAIL
