"""A plan found again from the grids of a scan and of what was made of it."""

import numpy as np
import pytest

from medgen.interpolation.plan import plan_onto, plan_slices
from medgen.volumes import Geometry


@pytest.mark.parametrize("told", [{"factor": 2}, {"factor": 3}, {"spacing_mm": 2.5}])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_plan_is_found_again_from_both_grids(told, axis):
    before = Geometry.from_spacing((6, 5, 4), (2.0, 3.0, 5.0), (-40.0, 10.0, 7.0))
    told = told if axis == 2 else {"factor": 2}
    plan = plan_slices(before, slice_axis=axis, **told)
    rounded = Geometry(plan.geometry.shape, plan.geometry.affine.astype(np.float32))
    found = plan_onto(before, rounded)
    assert found.axis == axis
    np.testing.assert_allclose(found.positions, plan.positions, atol=1e-3)
    np.testing.assert_array_equal(found.synthetic, plan.synthetic)


@pytest.mark.parametrize(
    ("shape", "spacing", "origin"),
    [
        ((6, 5, 9), (2.0, 3.0, 2.5), (0.0, 0.0, 0.0)),  # two slices beyond the last
        ((6, 5, 7), (2.0, 3.0, 2.5), (1.0, 0.0, 0.0)),  # half a voxel aside
        ((6, 5, 7), (2.2, 3.0, 2.5), (0.0, 0.0, 0.0)),
        ((6, 4, 7), (2.0, 3.0, 2.5), (0.0, 0.0, 0.0)),
        ((6, 5, 2), (2.0, 3.0, 10.0), (0.0, 0.0, 0.0)),  # coarser
    ],
)
def test_no_plan_leads_to_another_grid(shape, spacing, origin):
    before = Geometry.from_spacing((6, 5, 4), (2.0, 3.0, 5.0))
    assert plan_onto(before, Geometry.from_spacing(shape, spacing, origin)) is None
