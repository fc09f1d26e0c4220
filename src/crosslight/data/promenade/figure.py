"""A clothed figure: body, cut and pose become a mesh."""

from crosslight.data.promenade.accessories import add_bag
from crosslight.data.promenade.factors import Body, Cut, Pose
from crosslight.data.promenade.garments import (
    WARMTH,
    add_neckwear,
    add_pelvis,
    add_skirt,
    add_upper,
)
from crosslight.data.promenade.head import add_head, place_head
from crosslight.data.promenade.limbs import add_arm, add_leg
from crosslight.data.promenade.mesh import Mesh, MeshBuilder
from crosslight.data.promenade.skeleton import build_skeleton


def build_figure(body: Body, cut: Cut, pose: Pose) -> Mesh:
    """The mesh in the person's frame: x to the right, y forwards, z up, feet on z = 0."""
    skeleton = build_skeleton(body, pose)
    mesh = MeshBuilder()
    add_pelvis(mesh, skeleton, cut)
    for leg in skeleton.legs:
        add_leg(mesh, skeleton, cut, leg)
    add_skirt(mesh, skeleton, cut)
    add_upper(mesh, skeleton, cut)
    for arm in skeleton.arms:
        add_arm(mesh, skeleton, cut, arm, WARMTH[cut.upper])
    place = place_head(skeleton)
    add_head(mesh, skeleton, cut, place)
    add_neckwear(mesh, skeleton, cut, place.neck)
    add_bag(mesh, skeleton, cut)
    return mesh.build(skeleton.capsules(place.centre, place.size))
