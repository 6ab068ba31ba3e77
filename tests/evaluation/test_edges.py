import numpy as np
import pytest

from medgen.evaluation.edges import canny_edges, edge_preservation_ratio, published_edges


def rectangle(rows: slice, cols: slice, height: float = 1000.0) -> np.ndarray:
    """A bright rectangle on an image of 40 x 50 pixels."""
    image = np.zeros((40, 50))
    image[rows, cols] = height
    return image


@pytest.fixture(scope="module")
def pair():
    """Two 8-bit images, `(120, 101)`, with smooth and sharp edges in all directions."""
    i, j = np.mgrid[:120, :101]
    true = 128 + 90 * np.sin(i / 9 + 2 * np.sin(j / 17)) * np.cos(j / 7)
    true = true + 37 * (((i * 7 + j * 13) % 31) > 20)
    test = 0.8 * true + 20 + 30 * np.cos(i / 3 + j / 4)
    return tuple(np.clip(image, 0, 255).astype(np.uint8) for image in (true, test))


@pytest.mark.parametrize(("which", "count", "places"), [(0, 2468, 10392195), (1, 2416, 10276719)])
def test_seed_edges_are_those_of_opencv(pair, which, count, places):
    # OpenCV 4: edges = cv2.Canny(image, 100, 200) > 0; edges.sum();
    #   (edges * numpy.arange(edges.size).reshape(edges.shape) % 9973).sum()
    edges = published_edges(pair[which], data_range=255)
    assert edges.sum() == count
    assert (edges * np.arange(edges.size).reshape(edges.shape) % 9973).sum() == places


def test_seed_ratio_counts_edges_that_need_not_overlap(pair):
    # 2416 / (2468 + 2416) from the OpenCV counts above.
    ratio = edge_preservation_ratio(*pair, data_range=255, published=True)
    assert ratio == pytest.approx(0.49467649467649466)
    left = rectangle(slice(5, 15), slice(5, 15))
    right = rectangle(slice(20, 30), slice(30, 40))
    assert edge_preservation_ratio(left, right, data_range=1000, published=True) == 0.5
    assert edge_preservation_ratio(left, right, data_range=1000) == 0


@pytest.mark.parametrize("over", ["true", "test"])
def test_equal_images_keep_every_edge(pair, over):
    assert edge_preservation_ratio(pair[0], pair[0], data_range=255, over=over) == 1


def test_lost_edges_cost_accuracy_and_invented_ones_robustness():
    one = rectangle(slice(5, 15), slice(5, 25))
    two = one + rectangle(slice(22, 32), slice(20, 40))
    edges_one, edges_two = (canny_edges(image, data_range=1000).sum() for image in (one, two))
    assert edges_two == 2 * edges_one > 0
    assert edge_preservation_ratio(two, one, data_range=1000, over="true") == 0.5
    assert edge_preservation_ratio(two, one, data_range=1000, over="test") == 1
    assert edge_preservation_ratio(one, two, data_range=1000, over="true") == 1
    assert edge_preservation_ratio(one, two, data_range=1000, over="test") == 0.5


def test_accuracy_and_robustness_change_places_with_the_images(pair):
    accuracy = edge_preservation_ratio(*pair, data_range=255)
    robustness = edge_preservation_ratio(*pair[::-1], data_range=255, over="test")
    assert 0 < accuracy < 1
    assert accuracy == robustness


def test_thresholds_are_shares_of_the_data_range():
    # A step of 1/32 of the range has a Sobel magnitude below 4/32, less after smoothing.
    def edges(height: float, data_range: float) -> np.ndarray:
        return canny_edges(rectangle(slice(5, 15), slice(5, 25), height), data_range=data_range)

    assert not edges(1 / 32, 1).any()
    assert edges(1 / 8, 1).any()
    assert np.array_equal(edges(512, 4096), edges(1 / 8, 1))


@pytest.mark.parametrize("options", [{}, {"over": "test"}, {"published": True}])
def test_no_edge_at_all_has_no_ratio(options):
    flat = np.full((20, 30), 7.0)
    assert np.isnan(edge_preservation_ratio(flat, flat, data_range=255, **options))


def test_refuses_an_unknown_denominator(pair):
    with pytest.raises(ValueError, match="'true' or 'test', got 'both'"):
        edge_preservation_ratio(*pair, data_range=255, over="both")
