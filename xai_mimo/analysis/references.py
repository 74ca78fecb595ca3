"""BibTeX of the metrics and methods, by key: a record carries those that were used."""

from collections.abc import Iterable

_MAIL = """@misc{mail2025,
  title = {Multi-layer Attentional Interception Layer ({MAIL})},
  author = {Ribeiro, L.},
  note = {Article proposing the layer, 17 June 2025},
  year = {2025}
}"""

REFERENCES = {
    "mail2025": _MAIL,
    "sundararajan2017": """@inproceedings{sundararajan2017,
  title = {Axiomatic Attribution for Deep Networks},
  author = {Sundararajan, Mukund and Taly, Ankur and Yan, Qiqi},
  booktitle = {International Conference on Machine Learning},
  year = {2017}
}""",
    "lundberg2017": """@inproceedings{lundberg2017,
  title = {A Unified Approach to Interpreting Model Predictions},
  author = {Lundberg, Scott M. and Lee, Su-In},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2017}
}""",
    "castro2009": """@article{castro2009,
  title = {Polynomial Calculation of the {Shapley} Value Based on Sampling},
  author = {Castro, Javier and G{\\'o}mez, Daniel and Tejada, Juan},
  journal = {Computers \\& Operations Research},
  volume = {36},
  number = {5},
  pages = {1726--1730},
  year = {2009}
}""",
    "erion2021": """@article{erion2021,
  title = {Improving Performance of Deep Learning Models with Axiomatic Attribution Priors and Expected Gradients},
  author = {Erion, Gabriel and Janizek, Joseph D. and Sturmfels, Pascal and Lundberg, Scott M. and Lee, Su-In},
  journal = {Nature Machine Intelligence},
  year = {2021}
}""",
    "simonyan2014": """@inproceedings{simonyan2014,
  title = {Deep Inside Convolutional Networks: Visualising Image Classification Models and Saliency Maps},
  author = {Simonyan, Karen and Vedaldi, Andrea and Zisserman, Andrew},
  booktitle = {International Conference on Learning Representations, Workshop},
  year = {2014}
}""",
    "shrikumar2017": """@inproceedings{shrikumar2017,
  title = {Learning Important Features Through Propagating Activation Differences},
  author = {Shrikumar, Avanti and Greenside, Peyton and Kundaje, Anshul},
  booktitle = {International Conference on Machine Learning},
  year = {2017}
}""",
    "smilkov2017": """@misc{smilkov2017,
  title = {{SmoothGrad}: Removing Noise by Adding Noise},
  author = {Smilkov, Daniel and Thorat, Nikhil and Kim, Been and Vi{\\'e}gas, Fernanda and Wattenberg, Martin},
  howpublished = {arXiv:1706.03825},
  year = {2017}
}""",
    "krishna2024": """@article{krishna2024,
  title = {The Disagreement Problem in Explainable Machine Learning: A Practitioner's Perspective},
  author = {Krishna, Satyapriya and Han, Tessa and Gu, Alex and Wu, Steven and Jabbari, Shahin and
            Lakkaraju, Himabindu},
  journal = {Transactions on Machine Learning Research},
  year = {2024}
}""",
    "neely2022": """@misc{neely2022,
  title = {A Song of (Dis)agreement: Evaluating the Evaluation of Explainable Artificial Intelligence in Natural
           Language Processing},
  author = {Neely, Michael and Schouten, Stefan F. and Bleeker, Maurits and Lucic, Ana},
  howpublished = {arXiv:2205.04559},
  year = {2022}
}""",
    "jain2019": """@inproceedings{jain2019,
  title = {Attention is not Explanation},
  author = {Jain, Sarthak and Wallace, Byron C.},
  booktitle = {Conference of the North American Chapter of the Association for Computational Linguistics},
  year = {2019}
}""",
    "wiegreffe2019": """@inproceedings{wiegreffe2019,
  title = {Attention is not not Explanation},
  author = {Wiegreffe, Sarah and Pinter, Yuval},
  booktitle = {Conference on Empirical Methods in Natural Language Processing},
  year = {2019}
}""",
    "adebayo2018": """@inproceedings{adebayo2018,
  title = {Sanity Checks for Saliency Maps},
  author = {Adebayo, Julius and Gilmer, Justin and Muelly, Michael and Goodfellow, Ian and Hardt, Moritz and Kim, Been},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2018}
}""",
    "deyoung2020": """@inproceedings{deyoung2020,
  title = {{ERASER}: A Benchmark to Evaluate Rationalized {NLP} Models},
  author = {DeYoung, Jay and Jain, Sarthak and Rajani, Nazneen Fatema and Lehman, Eric and Xiong, Caiming and
            Socher, Richard and Wallace, Byron C.},
  booktitle = {Annual Meeting of the Association for Computational Linguistics},
  year = {2020}
}""",
    "petsiuk2018": """@inproceedings{petsiuk2018,
  title = {{RISE}: Randomized Input Sampling for Explanation of Black-box Models},
  author = {Petsiuk, Vitali and Das, Abir and Saenko, Kate},
  booktitle = {British Machine Vision Conference},
  year = {2018}
}""",
    "samek2017": """@article{samek2017,
  title = {Evaluating the Visualization of What a Deep Neural Network Has Learned},
  author = {Samek, Wojciech and Binder, Alexander and Montavon, Gr{\\'e}goire and Lapuschkin, Sebastian and
            M{\\"u}ller, Klaus-Robert},
  journal = {IEEE Transactions on Neural Networks and Learning Systems},
  year = {2017}
}""",
    "agarwal2022": """@inproceedings{agarwal2022,
  title = {{OpenXAI}: Towards a Transparent Evaluation of Model Explanations},
  author = {Agarwal, Chirag and Krishna, Satyapriya and Saxena, Eshika and Pawelczyk, Martin and Johnson, Nari and
            Puri, Isha and Zitnik, Marinka and Lakkaraju, Himabindu},
  booktitle = {Advances in Neural Information Processing Systems, Datasets and Benchmarks},
  year = {2022}
}""",
    "liu2022": """@inproceedings{liu2022,
  title = {Rethinking Attention-Model Explainability through Faithfulness Violation Test},
  author = {Liu, Yibing and Li, Haoliang and Guo, Yangyang and Kong, Chenqi and Li, Jing and Wang, Shiqi},
  booktitle = {International Conference on Machine Learning},
  year = {2022}
}""",
    "arras2022": """@article{arras2022,
  title = {{CLEVR-XAI}: A Benchmark Dataset for the Ground Truth Evaluation of Neural Network Explanations},
  author = {Arras, Leila and Osman, Ahmed and Samek, Wojciech},
  journal = {Information Fusion},
  year = {2022}
}""",
    "parcalabescu2023": """@inproceedings{parcalabescu2023,
  title = {{MM-SHAP}: A Performance-agnostic Metric for Measuring Multimodal Contributions in Vision and Language
           Models and Tasks},
  author = {Parcalabescu, Letitia and Frank, Anette},
  booktitle = {Annual Meeting of the Association for Computational Linguistics},
  year = {2023}
}""",
    "efron1987": """@article{efron1987,
  title = {Better Bootstrap Confidence Intervals},
  author = {Efron, Bradley},
  journal = {Journal of the American Statistical Association},
  year = {1987}
}""",
    "holm1979": """@article{holm1979,
  title = {A Simple Sequentially Rejective Multiple Test Procedure},
  author = {Holm, Sture},
  journal = {Scandinavian Journal of Statistics},
  year = {1979}
}""",
    "kokhlikyan2020": """@misc{kokhlikyan2020,
  title = {Captum: A Unified and Generic Model Interpretability Library for {PyTorch}},
  author = {Kokhlikyan, Narine and Miglani, Vivek and Martin, Miguel and Wang, Edward and Alsallakh, Bilal and
            Reynolds, Jonathan and Melnikov, Alexander and Kliushkina, Natalia and Araya, Carlos and Yan, Siqi and
            Reblitz-Richardson, Orion},
  howpublished = {arXiv:2009.07896},
  year = {2020}
}""",
}

OF_METRICS = (
    "krishna2024",
    "neely2022",
    "jain2019",
    "samek2017",
    "petsiuk2018",
    "deyoung2020",
    "agarwal2022",
    "liu2022",
    "parcalabescu2023",
    "efron1987",
    "holm1979",
)
"""What every comparison rests on, whatever the methods."""


def cited(keys: Iterable[str]) -> dict[str, str]:
    """BibTeX entries of the metrics and of these methods, by key; a key of a plugin that we do not know is left out."""
    return {key: REFERENCES[key] for key in dict.fromkeys([*keys, *OF_METRICS]) if key in REFERENCES}
