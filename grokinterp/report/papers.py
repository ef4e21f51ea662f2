"""The sources that a report may cite."""

from typing import NamedTuple


class Paper(NamedTuple):
    """A source, with its arXiv number."""

    authors: str
    title: str
    arxiv: str


NANDA = Paper("Nanda et al. 2023", "Progress measures for grokking via mechanistic interpretability", "2301.05217")
POWER = Paper(
    "Power et al. 2022", "Grokking: Generalization Beyond Overfitting on Small Algorithmic Datasets", "2201.02177"
)
CHUGHTAI = Paper("Chughtai, Chan, Nanda 2023", "A Toy Model of Universality", "2302.03025")
PRIETO = Paper("Prieto et al. 2025", "Grokking at the Edge of Numerical Stability", "2501.04697")
THILAK = Paper("Thilak et al. 2022", "The Slingshot Mechanism", "2206.04817")
LIU = Paper(
    "Liu et al. 2022", "Towards Understanding Grokking: An Effective Theory of Representation Learning", "2205.10343"
)
LOSHCHILOV = Paper("Loshchilov, Hutter 2017", "Decoupled Weight Decay Regularization", "1711.05101")
PAPYAN = Paper(
    "Papyan, Han, Donoho 2020", "Prevalence of neural collapse during the terminal phase of deep learning training", ""
)
ROY = Paper("Roy, Vetterli 2007", "The effective rank: a measure of effective dimensionality", "")
DOSHI = Paper("Doshi et al. 2023", "To grok or not to grok", "2310.13061")
ELHAGE = Paper("Elhage et al. 2021", "A Mathematical Framework for Transformer Circuits", "")

ZHONG = Paper("Zhong et al. 2023", "The Clock and the Pizza", "2306.17844")
GROMOV = Paper("Gromov 2023", "Grokking modular arithmetic", "2301.02679")
STANDER = Paper("Stander et al. 2023", "Grokking Group Multiplication with Cosets", "2312.06581")
SUNDARARAJAN = Paper("Sundararajan et al. 2017", "Axiomatic Attribution for Deep Networks", "1703.01365")
KESKAR = Paper("Keskar et al. 2016", "On Large-Batch Training (sharpness)", "1609.04836")
LAU = Paper("Lau et al. 2023", "The Local Learning Coefficient", "2308.12108")
ALAIN = Paper("Alain, Bengio 2016", "Understanding intermediate layers using linear classifier probes", "")
HEWITT = Paper("Hewitt, Liang 2019", "Designing and Interpreting Probes with Control Tasks", "")
WANG = Paper(
    "Wang et al. 2023", "Interpretability in the Wild: a Circuit for Indirect Object Identification in GPT-2 small", ""
)
MENG = Paper("Meng et al. 2022", "Locating and Editing Factual Associations in GPT", "")
MCCANDLISH = Paper("McCandlish et al. 2018", "An Empirical Model of Large-Batch Training", "")
GHORBANI = Paper(
    "Ghorbani et al. 2019", "An Investigation into Neural Net Optimization via Hessian Eigenvalue Density", ""
)
GOODFELLOW = Paper("Goodfellow et al. 2015", "Qualitatively characterizing neural network optimization problems", "")
FRANKLE = Paper("Frankle et al. 2020", "Linear Mode Connectivity and the Lottery Ticket Hypothesis", "")
MERRILL = Paper(
    "Merrill et al. 2023",
    "A Tale of Two Circuits: Grokking as Competition of Sparse and Dense Subnetworks",
    "2303.11873",
)
GROSS = Paper("Gross et al. 2024", "Compact Proofs of Model Performance via Mechanistic Interpretability", "")
CLARK = Paper("Clark et al. 2019", "What Does BERT Look At? An Analysis of BERT's Attention", "")
NEYSHABUR = Paper("Neyshabur, Tomioka, Srebro 2015", "Norm-Based Capacity Control in Neural Networks", "")
MENDELSON = Paper(
    "Bartlett, Mendelson 2002", "Rademacher and Gaussian Complexities: Risk Bounds and Structural Results", ""
)
BARTLETT = Paper("Bartlett, Foster, Telgarsky 2017", "Spectrally-normalized margin bounds for neural networks", "")
JIANG = Paper("Jiang et al. 2020", "Fantastic Generalization Measures and Where to Find Them", "")

PAPERS = (
    POWER, NANDA, CHUGHTAI, ZHONG, STANDER, GROMOV, LIU, PRIETO, THILAK, LOSHCHILOV, ELHAGE, DOSHI, PAPYAN, ROY,
    SUNDARARAJAN, WANG, MENG, ALAIN, HEWITT, MERRILL, CLARK, GROSS, MENDELSON, NEYSHABUR, BARTLETT, JIANG, MCCANDLISH,
    LAU, KESKAR, GHORBANI, GOODFELLOW, FRANKLE,
)  # fmt: skip
