"""BibTeX of the metrics and methods, by key: a record carries those that were used."""

from collections.abc import Iterable

_MAIL = """@misc{ribeiro2025mail,
  title = {Multi-layer Attentional Interception Layer ({MAIL})},
  author = {Ribeiro, L.},
  note = {Article proposing the layer, 17 June 2025},
  year = {2025}
}"""

REFERENCES = {
    "ribeiro2025mail": _MAIL,
    "guo2019imvlstm": """@inproceedings{guo2019imvlstm,
  title = {Exploring Interpretable {LSTM} Neural Networks over Multi-Variable Data},
  author = {Guo, Tian and Lin, Tao and Antulov-Fantulin, Nino},
  booktitle = {Proceedings of the 36th International Conference on Machine Learning (ICML)},
  series = {Proceedings of Machine Learning Research},
  volume = {97},
  pages = {2494--2504},
  year = {2019},
  publisher = {PMLR}
}""",
    "kubota2021layerwise": """@inproceedings{kubota2021layerwise,
  title = {Layer-Wise Interpretation of Deep Neural Networks Using Identity Initialization},
  author = {Kubota, Shohei and Hayashi, Hideaki and Hayase, Tomohiro and Uchida, Seiichi},
  booktitle = {IEEE International Conference on Acoustics, Speech and Signal Processing (ICASSP)},
  pages = {3945--3949},
  year = {2021}
}""",
    "parekh2021flint": """@inproceedings{parekh2021flint,
  title = {A Framework to Learn with Interpretation},
  author = {Parekh, Jayneel and Mozharovskyi, Pavlo and d'Alch{\\'e}-Buc, Florence},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {34},
  year = {2021}
}""",
    "sun2025multihead": """@misc{sun2025multihead,
  title = {Multi-Head Explainer: A General Framework to Improve Explainability in {CNN}s and Transformers},
  author = {Sun, Bohang and Li{\\`o}, Pietro},
  year = {2025},
  eprint = {2501.01311},
  archivePrefix = {arXiv},
  primaryClass = {cs.CV}
}""",
    "vaswani2017attention": """@inproceedings{vaswani2017attention,
  title = {Attention is All You Need},
  author = {Vaswani, Ashish and Shazeer, Noam and Parmar, Niki and Uszkoreit, Jakob and Jones, Llion and
    Gomez, Aidan N. and Kaiser, {\\L}ukasz and Polosukhin, Illia},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {30},
  year = {2017}
}""",
    "abnar2020quantifying": """@inproceedings{abnar2020quantifying,
  title = {Quantifying Attention Flow in Transformers},
  author = {Abnar, Samira and Zuidema, Willem},
  booktitle = {Proceedings of the 58th Annual Meeting of the Association for Computational Linguistics},
  pages = {4190--4197},
  year = {2020}
}""",
    "kobayashi2020attention": """@inproceedings{kobayashi2020attention,
  title = {Attention is Not Only a Weight: Analyzing Transformers with Vector Norms},
  author = {Kobayashi, Goro and Kuribayashi, Tatsuki and Yokoi, Sho and Inui, Kentaro},
  booktitle = {Proceedings of the 2020 Conference on Empirical Methods in Natural Language Processing (EMNLP)},
  pages = {7057--7075},
  year = {2020}
}""",
    "sundararajan2017axiomatic": """@inproceedings{sundararajan2017axiomatic,
  title = {Axiomatic Attribution for Deep Networks},
  author = {Sundararajan, Mukund and Taly, Ankur and Yan, Qiqi},
  booktitle = {International Conference on Machine Learning},
  year = {2017}
}""",
    "lundberg2017unified": """@inproceedings{lundberg2017unified,
  title = {A Unified Approach to Interpreting Model Predictions},
  author = {Lundberg, Scott M. and Lee, Su-In},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2017}
}""",
    "castro2009polynomial": """@article{castro2009polynomial,
  title = {Polynomial Calculation of the {Shapley} Value Based on Sampling},
  author = {Castro, Javier and G{\\'o}mez, Daniel and Tejada, Juan},
  journal = {Computers \\& Operations Research},
  volume = {36},
  number = {5},
  pages = {1726--1730},
  year = {2009}
}""",
    "selvaraju2017gradcam": """@inproceedings{selvaraju2017gradcam,
  title = {{Grad-CAM}: Visual Explanations from Deep Networks via Gradient-Based Localization},
  author = {Selvaraju, Ramprasaath R. and Cogswell, Michael and Das, Abhishek and Vedantam, Ramakrishna and Parikh, Devi
    and Batra, Dhruv},
  booktitle = {IEEE International Conference on Computer Vision (ICCV)},
  pages = {618--626},
  year = {2017}
}""",
    "zhou2016cam": """@inproceedings{zhou2016cam,
  title = {Learning Deep Features for Discriminative Localization},
  author = {Zhou, Bolei and Khosla, Aditya and Lapedriza, Agata and Oliva, Aude and Torralba, Antonio},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  pages = {2921--2929},
  year = {2016}
}""",
    "chattopadhay2018gradcampp": """@inproceedings{chattopadhay2018gradcampp,
  title = {{Grad-CAM++}: Generalized Gradient-Based Visual Explanations for Deep Convolutional Networks},
  author = {Chattopadhay, Aditya and Sarkar, Anirban and Howlader, Prantik and Balasubramanian, Vineeth N.},
  booktitle = {IEEE Winter Conference on Applications of Computer Vision (WACV)},
  pages = {839--847},
  year = {2018}
}""",
    "zhang2018excitation": """@article{zhang2018excitation,
  title = {Top-Down Neural Attention by Excitation Backprop},
  author = {Zhang, Jianming and Bargal, Sarah Adel and Lin, Zhe and Brandt, Jonathan and Shen, Xiaohui and
    Sclaroff, Stan},
  journal = {International Journal of Computer Vision},
  volume = {126},
  number = {10},
  pages = {1084--1102},
  year = {2018}
}""",
    "zeiler2014visualizing": """@inproceedings{zeiler2014visualizing,
  title = {Visualizing and Understanding Convolutional Networks},
  author = {Zeiler, Matthew D. and Fergus, Rob},
  booktitle = {European Conference on Computer Vision},
  year = {2014}
}""",
    "shrikumar2017deeplift": """@inproceedings{shrikumar2017deeplift,
  title = {Learning Important Features Through Propagating Activation Differences},
  author = {Shrikumar, Avanti and Greenside, Peyton and Kundaje, Anshul},
  booktitle = {International Conference on Machine Learning (ICML)},
  year = {2017}
}""",
    "springenberg2015striving": """@inproceedings{springenberg2015striving,
  title = {Striving for Simplicity: The All Convolutional Net},
  author = {Springenberg, Jost Tobias and Dosovitskiy, Alexey and Brox, Thomas and Riedmiller, Martin},
  booktitle = {International Conference on Learning Representations, Workshop},
  year = {2015}
}""",
    "bach2015pixelwise": """@article{bach2015pixelwise,
  title = {On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance Propagation},
  author = {Bach, Sebastian and Binder, Alexander and Montavon, Gr{\\'e}goire and Klauschen, Frederick and
    M{\\"u}ller, Klaus-Robert and Samek, Wojciech},
  journal = {PLoS ONE},
  volume = {10},
  number = {7},
  pages = {e0130140},
  year = {2015}
}""",
    "dhamdhere2019important": """@inproceedings{dhamdhere2019important,
  title = {How Important is a Neuron?},
  author = {Dhamdhere, Kedar and Sundararajan, Mukund and Yan, Qiqi},
  booktitle = {International Conference on Learning Representations (ICLR)},
  year = {2019}
}""",
    "leino2018influence": """@inproceedings{leino2018influence,
  title = {Influence-Directed Explanations for Deep Convolutional Networks},
  author = {Leino, Klas and Sen, Shayak and Datta, Anupam and Fredrikson, Matt and Li, Linyi},
  booktitle = {IEEE International Test Conference (ITC)},
  year = {2018}
}""",
    "erion2021improving": """@article{erion2021improving,
  title = {Improving Performance of Deep Learning Models with Axiomatic Attribution Priors and Expected Gradients},
  author = {Erion, Gabriel and Janizek, Joseph D. and Sturmfels, Pascal and Lundberg, Scott M. and Lee, Su-In},
  journal = {Nature Machine Intelligence},
  year = {2021}
}""",
    "simonyan2014deep": """@inproceedings{simonyan2014deep,
  title = {Deep Inside Convolutional Networks: Visualising Image Classification Models and Saliency Maps},
  author = {Simonyan, Karen and Vedaldi, Andrea and Zisserman, Andrew},
  booktitle = {International Conference on Learning Representations, Workshop},
  year = {2014}
}""",
    "shrikumar2016not": """@misc{shrikumar2016not,
  title = {Not Just a Black Box: Learning Important Features Through Propagating Activation Differences},
  author = {Shrikumar, Avanti and Greenside, Peyton and Shcherbina, Anna and Kundaje, Anshul},
  howpublished = {arXiv:1605.01713},
  year = {2016}
}""",
    "smilkov2017smoothgrad": """@misc{smilkov2017smoothgrad,
  title = {{SmoothGrad}: Removing Noise by Adding Noise},
  author = {Smilkov, Daniel and Thorat, Nikhil and Kim, Been and Vi{\\'e}gas, Fernanda and Wattenberg, Martin},
  howpublished = {arXiv:1706.03825},
  year = {2017}
}""",
    "krishna2024disagreement": """@article{krishna2024disagreement,
  title = {The Disagreement Problem in Explainable Machine Learning: A Practitioner's Perspective},
  author = {Krishna, Satyapriya and Han, Tessa and Gu, Alex and Wu, Steven and Jabbari, Shahin and
            Lakkaraju, Himabindu},
  journal = {Transactions on Machine Learning Research},
  year = {2024}
}""",
    "neely2022song": """@misc{neely2022song,
  title = {A Song of (Dis)agreement: Evaluating the Evaluation of Explainable Artificial Intelligence in Natural
           Language Processing},
  author = {Neely, Michael and Schouten, Stefan F. and Bleeker, Maurits and Lucic, Ana},
  howpublished = {arXiv:2205.04559},
  year = {2022}
}""",
    "jain2019attention": """@inproceedings{jain2019attention,
  title = {Attention is not Explanation},
  author = {Jain, Sarthak and Wallace, Byron C.},
  booktitle = {Conference of the North American Chapter of the Association for Computational Linguistics},
  year = {2019}
}""",
    "wiegreffe2019attention": """@inproceedings{wiegreffe2019attention,
  title = {Attention is not not Explanation},
  author = {Wiegreffe, Sarah and Pinter, Yuval},
  booktitle = {Conference on Empirical Methods in Natural Language Processing},
  year = {2019}
}""",
    "adebayo2018sanity": """@inproceedings{adebayo2018sanity,
  title = {Sanity Checks for Saliency Maps},
  author = {Adebayo, Julius and Gilmer, Justin and Muelly, Michael and Goodfellow, Ian and Hardt, Moritz and Kim, Been},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2018}
}""",
    "deyoung2020eraser": """@inproceedings{deyoung2020eraser,
  title = {{ERASER}: A Benchmark to Evaluate Rationalized {NLP} Models},
  author = {DeYoung, Jay and Jain, Sarthak and Rajani, Nazneen Fatema and Lehman, Eric and Xiong, Caiming and
            Socher, Richard and Wallace, Byron C.},
  booktitle = {Annual Meeting of the Association for Computational Linguistics},
  year = {2020}
}""",
    "petsiuk2018rise": """@inproceedings{petsiuk2018rise,
  title = {{RISE}: Randomized Input Sampling for Explanation of Black-box Models},
  author = {Petsiuk, Vitali and Das, Abir and Saenko, Kate},
  booktitle = {British Machine Vision Conference},
  year = {2018}
}""",
    "breiman2001random": """@article{breiman2001random,
  title = {Random Forests},
  author = {Breiman, Leo},
  journal = {Machine Learning},
  volume = {45},
  pages = {5--32},
  year = {2001}
}""",
    "aas2021explaining": """@article{aas2021explaining,
  title = {Explaining Individual Predictions when Features are Dependent: More Accurate Approximations to {S}hapley
           Values},
  author = {Aas, Kjersti and Jullum, Martin and L{\\o}land, Anders},
  journal = {Artificial Intelligence},
  volume = {298},
  pages = {103502},
  year = {2021}
}""",
    "samek2017evaluating": """@article{samek2017evaluating,
  title = {Evaluating the Visualization of What a Deep Neural Network Has Learned},
  author = {Samek, Wojciech and Binder, Alexander and Montavon, Gr{\\'e}goire and Lapuschkin, Sebastian and
            M{\\"u}ller, Klaus-Robert},
  journal = {IEEE Transactions on Neural Networks and Learning Systems},
  year = {2017}
}""",
    "bluecher2024decoupling": """@article{bluecher2024decoupling,
  title = {Decoupling Pixel Flipping and Occlusion Strategy for Consistent {XAI} Benchmarks},
  author = {Bl{\\"u}cher, Stefan and Vielhaben, Johanna and Strodthoff, Nils},
  journal = {Transactions on Machine Learning Research},
  year = {2024}
}""",
    "agarwal2022openxai": """@inproceedings{agarwal2022openxai,
  title = {{OpenXAI}: Towards a Transparent Evaluation of Model Explanations},
  author = {Agarwal, Chirag and Krishna, Satyapriya and Saxena, Eshika and Pawelczyk, Martin and Johnson, Nari and
            Puri, Isha and Zitnik, Marinka and Lakkaraju, Himabindu},
  booktitle = {Advances in Neural Information Processing Systems, Datasets and Benchmarks},
  year = {2022}
}""",
    "liu2022rethinking": """@inproceedings{liu2022rethinking,
  title = {Rethinking Attention-Model Explainability through Faithfulness Violation Test},
  author = {Liu, Yibing and Li, Haoliang and Guo, Yangyang and Kong, Chenqi and Li, Jing and Wang, Shiqi},
  booktitle = {International Conference on Machine Learning},
  year = {2022}
}""",
    "arras2022clevrxai": """@article{arras2022clevrxai,
  title = {{CLEVR-XAI}: A Benchmark Dataset for the Ground Truth Evaluation of Neural Network Explanations},
  author = {Arras, Leila and Osman, Ahmed and Samek, Wojciech},
  journal = {Information Fusion},
  year = {2022}
}""",
    "parcalabescu2023mmshap": """@inproceedings{parcalabescu2023mmshap,
  title = {{MM-SHAP}: A Performance-agnostic Metric for Measuring Multimodal Contributions in Vision and Language
           Models and Tasks},
  author = {Parcalabescu, Letitia and Frank, Anette},
  booktitle = {Annual Meeting of the Association for Computational Linguistics},
  year = {2023}
}""",
    "efron1987better": """@article{efron1987better,
  title = {Better Bootstrap Confidence Intervals},
  author = {Efron, Bradley},
  journal = {Journal of the American Statistical Association},
  year = {1987}
}""",
    "holm1979simple": """@article{holm1979simple,
  title = {A Simple Sequentially Rejective Multiple Test Procedure},
  author = {Holm, Sture},
  journal = {Scandinavian Journal of Statistics},
  year = {1979}
}""",
    "kokhlikyan2020captum": """@misc{kokhlikyan2020captum,
  title = {Captum: A Unified and Generic Model Interpretability Library for {PyTorch}},
  author = {Kokhlikyan, Narine and Miglani, Vivek and Martin, Miguel and Wang, Edward and Alsallakh, Bilal and
            Reynolds, Jonathan and Melnikov, Alexander and Kliushkina, Natalia and Araya, Carlos and Yan, Siqi and
            Reblitz-Richardson, Orion},
  howpublished = {arXiv:2009.07896},
  year = {2020}
}""",
    "yeh2019infidelity": """@inproceedings{yeh2019infidelity,
  title = {On the (In)fidelity and Sensitivity of Explanations},
  author = {Yeh, Chih-Kuan and Hsieh, Cheng-Yu and Suggala, Arun Sai and Inouye, David I. and Ravikumar, Pradeep},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {32},
  year = {2019}
}""",
    "alvarezmelis2018robustness": """@misc{alvarezmelis2018robustness,
  title = {On the Robustness of Interpretability Methods},
  author = {Alvarez-Melis, David and Jaakkola, Tommi S.},
  year = {2018},
  eprint = {1806.08049},
  archivePrefix = {arXiv},
  primaryClass = {cs.LG}
}""",
    "bhatt2020evaluating": """@inproceedings{bhatt2020evaluating,
  title = {Evaluating and Aggregating Feature-based Model Explanations},
  author = {Bhatt, Umang and Weller, Adrian and Moura, Jos{\\'e} M. F.},
  booktitle = {Proceedings of the Twenty-Ninth International Joint Conference on Artificial Intelligence (IJCAI)},
  pages = {3016--3022},
  year = {2020}
}""",
    "hurley2009comparing": """@article{hurley2009comparing,
  title = {Comparing Measures of Sparsity},
  author = {Hurley, Niall and Rickard, Scott},
  journal = {IEEE Transactions on Information Theory},
  volume = {55},
  number = {10},
  pages = {4723--4741},
  year = {2009}
}""",
}

OF_EVERY_RECORD = ("parcalabescu2023mmshap", "efron1987better", "holm1979simple", "neely2022song")
"""What every comparison rests on: stream shares, intervals, the correction for many tests, and what agreement is
worth in a verdict."""


def cited(sources: Iterable[tuple[str, str]]) -> dict[str, str]:
    """BibTeX entries by key, each once, and those of every record.

    Args:
        sources: key and entry of what was used; the entry is "" where the key is one of ours. A key without an entry
            anywhere (a plugin that brings none) is left out.
    """
    entries = {key: REFERENCES.get(key, entry) for key, entry in sources}
    return {key: entry for key, entry in {**entries, **{k: REFERENCES[k] for k in OF_EVERY_RECORD}}.items() if entry}
