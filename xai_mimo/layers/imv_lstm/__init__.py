"""IMV-LSTM: recurrent networks whose hidden state keeps the variables apart.

``layer`` (what users build) is made of ``inputs`` (streams as variables), ``cells``, ``attention`` and ``output`` (the
networks of the mixture), and trained with ``losses``. Read afterwards: ``summary``.

Wing law: imports what stands beside the wings in ``xai_mimo.layers``, ``core`` and ``sowing``, and no other wing.
"""

from xai_mimo.layers.imv_lstm.layer import IMVLSTM as IMVLSTM
