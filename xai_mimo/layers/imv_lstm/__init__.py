"""IMV-LSTM: recurrent networks whose hidden state keeps the variables apart."""

from xai_mimo.layers.imv_lstm.layer import IMVLSTM as IMVLSTM
