"""Joints of a walking person and the outline of the bare trunk."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from crosslight.data.promenade.arrays import Floats, between, cross, evenly, profile, rotation, unit
from crosslight.data.promenade.factors import Arm, Body, Pose

LEG_STATIONS = 17
_MEAN_HEIGHT = 1.775


@dataclass(frozen=True, kw_only=True)
class Leg:
    """A leg: `side` -1 or 1, joints in metres, `path` from hip to ankle at `stations` in [0, 1]."""

    side: int
    hip: Floats
    knee: Floats
    ankle: Floats
    foot_pitch: float
    stations: Floats
    path: Floats


@dataclass(frozen=True, kw_only=True)
class ArmPose:
    """An arm: `side` -1 or 1, joints in metres, `path` from shoulder to wrist at `stations`."""

    side: int
    wrist: Floats
    hand: Floats
    forearm: Floats
    axis_x: Floats
    stations: Floats
    path: Floats


@dataclass(frozen=True, kw_only=True)
class Skeleton:
    """A posed body without clothes; `root` is the point between the hips, feet are on z = 0.

    Heights `z` in the methods are metres above the root.
    """

    body: Body
    pose: Pose
    root: Floats
    legs: tuple[Leg, Leg]

    @cached_property
    def shoulder_height(self) -> float:
        """The line of the shoulders above the root."""
        return (0.827 - self.body.leg) * self.body.height

    @cached_property
    def neck_height(self) -> float:
        """The foot of the neck above the root."""
        return (0.852 - self.body.leg) * self.body.height

    @cached_property
    def trunk_bottom(self) -> float:
        """The lowest point of the trunk, a little below the root."""
        return -0.055 * self.body.height

    @cached_property
    def hip_width(self) -> float:
        """Half the width of the hips in metres."""
        return self.body.hip * self.body.height

    @cached_property
    def shoulder_width(self) -> float:
        """Half the width of the shoulders in metres."""
        return self.body.shoulder * self.body.height

    @cached_property
    def torso(self) -> Floats:
        """The rotation of the trunk by lean and twist."""
        turn = self.pose.twist * self.pose.stride * np.sin(self.pose.phase)
        torso: Floats = rotation("x", -self.pose.lean) @ rotation("z", float(turn))
        return torso

    @cached_property
    def _upwards(self) -> Floats:
        upwards: Floats = rotation("x", -self.pose.lean)[:, 2]
        return upwards

    def spine(self, z: Floats) -> Floats:
        """Points of the middle line of the trunk, `(k, 3)` for `(k,)` heights."""
        below = np.minimum(z, 0)[:, None] * np.array([0.0, 0.0, 1.0])
        points: Floats = self.root + below + np.maximum(z, 0)[:, None] * self._upwards
        return points

    def spine_at(self, z: float) -> Floats:
        """One point of the middle line of the trunk."""
        point: Floats = self.spine(np.array([z]))[0]
        return point

    def side_axes(self, rings: int) -> Floats:
        """Side axes of trunk rings from bottom to top: the hips do not turn with the shoulders."""
        low = evenly(0, 1, rings)[:, None] < 0.25
        axes: Floats = np.where(low, np.array([1.0, 0.0, 0.0]), self.torso[:, 0])
        return axes

    @cached_property
    def _heights(self) -> Floats:
        tall, shoulder = self.body.height, self.shoulder_height
        return np.array(
            [
                self.trunk_bottom,
                0,
                0.055 * tall,
                0.115 * tall,
                0.20 * tall,
                0.27 * tall,
                shoulder - 0.012 * tall,
                shoulder + 0.012 * tall,
                self.neck_height,
            ]
        )

    @cached_property
    def _widths(self) -> Floats:
        waist = self.body.waist * self.body.height
        hips, shoulders = self.hip_width, self.shoulder_width
        return np.array(
            [
                hips * 0.80,
                hips,
                (hips + waist) * 0.515,
                waist,
                shoulders * 0.76,
                shoulders * 0.82,
                shoulders * 0.84,
                shoulders * 0.60,
                0.036 * self.body.height * self.body.neck,
            ]
        )

    @cached_property
    def _depths(self) -> Floats:
        shares = np.array([0.055, 0.064, 0.060, 0.056, 0.062, 0.063, 0.050, 0.042, 0.032])
        depths: Floats = shares * self.body.height * self.body.girth**0.8
        return depths

    def width(self, z: Floats) -> Floats:
        """Half width of the trunk."""
        return profile(z, self._heights, self._widths)

    def front(self, z: Floats) -> Floats:
        """Half depth of the trunk forwards: chest and belly."""
        tall = self.body.height
        chest = self.body.bust * np.exp(-(((z - 0.235 * tall) / (0.05 * tall)) ** 2))
        belly = self.body.belly * np.exp(-(((z - 0.09 * tall) / (0.075 * tall)) ** 2))
        depth: Floats = profile(z, self._heights, self._depths) + chest + belly
        return depth

    def back(self, z: Floats) -> Floats:
        """Half depth of the trunk backwards."""
        seat = 0.022 * (0.5 + self.body.sex) * self.body.girth
        seat_curve = seat * np.exp(-((z / (0.045 * self.body.height)) ** 2))
        depth: Floats = profile(z, self._heights, self._depths) * 0.92 + seat_curve
        return depth

    @cached_property
    def arms(self) -> tuple[ArmPose, ArmPose]:
        """Both arms, left then right."""
        return (
            _arm(self, -1, self.pose.arm_left, self.pose.phase + np.pi),
            _arm(self, 1, self.pose.arm_right, self.pose.phase),
        )

    @cached_property
    def shoulders(self) -> Floats:
        """The point between the shoulders."""
        return self.spine_at(self.shoulder_height)

    def capsules(self, head: Floats, head_radius: float) -> Floats:
        """`(c, 7)` capsules (both ends, radius) that cast the figure's shadow."""
        tall = self.body.height
        reach = self.torso[:, 0] * self.shoulder_width * 0.5
        rows = [(self.spine_at(0.02 * tall), self.spine_at(0.25 * tall), 0.125 * self.body.girth)]
        for leg in self.legs:
            rows += [(leg.hip, leg.knee, 0.075), (leg.knee, leg.ankle, 0.055)]
        rows.append((self.shoulders - reach, self.shoulders + reach, 0.07))
        rise = np.array([0.0, 0.0, 0.3 * head_radius])
        rows.append((head - rise, head + rise, 0.7 * head_radius))
        return np.array([[*start, *end, radius] for start, end, radius in rows])


def bent_path(
    start: Floats, middle: Floats, end: Floats, bend: float, stations: int = LEG_STATIONS
) -> tuple[Floats, Floats]:
    """The middle line of a limb, rounded at its joint; the joint lies at station `bend`."""
    station = evenly(0, 1, stations)
    upper = start + (middle - start) * (station / bend)[:, None]
    lower = middle + (end - middle) * ((station - bend) / (1 - bend))[:, None]
    path: Floats = np.where((station < bend)[:, None], upper, lower)
    for _ in range(2):
        path = np.concatenate([path[:1], (path[:-2] + 2 * path[1:-1] + path[2:]) / 4, path[-1:]])
    return station, path


def along_path(at: Floats, stations: Floats, path: Floats) -> Floats:
    """Points `(k, 3)` of a path at other stations."""
    return np.stack([between(at, stations, path[:, axis]) for axis in range(3)], axis=-1)


def build_skeleton(body: Body, pose: Pose) -> Skeleton:
    """Puts a body into a pose, with its lower foot on the ground."""
    tall = body.height
    hip_height, knee_height, ankle_height = body.leg * tall, body.leg * tall * 0.535, 0.040 * tall
    thigh, shank = hip_height - knee_height, knee_height - ankle_height
    amplitude = 0.46 * pose.stride
    joints = []
    for side, phase in ((-1, pose.phase), (1, pose.phase + np.pi)):
        lift = amplitude * np.sin(phase) + 0.08 * pose.stride
        bend = 0.06 + 1.15 * amplitude * max(0.0, np.cos(phase)) ** 1.3
        bend += 0.35 * amplitude * max(0.0, -np.sin(phase))
        hip = np.array([side * body.hip * tall * 0.54, 0.0, 0.0])
        knock = side * 0.015 * (1 - 2 * body.sex)
        knee = hip + thigh * np.array([knock, np.sin(lift), -np.cos(lift)])
        fall = lift - bend
        ankle = knee + shank * np.array([-side * 0.01, np.sin(fall), -np.cos(fall)])
        joints.append((side, hip, knee, ankle, float(fall)))
    # The toe of a raised foot hangs below its ankle.
    lowest = min(
        ankle[2] - ankle_height * np.cos(fall) - 0.06 * abs(np.sin(min(fall, 0.0)))
        for _, _, _, ankle, fall in joints
    )
    root = np.array([0.0, 0.0, -lowest])
    legs = []
    for side, hip, knee, ankle, fall in joints:
        stations, path = bent_path(hip + root, knee + root, ankle + root, thigh / (thigh + shank))
        pitch = max(fall * 0.55, -0.9) if fall < 0 else fall * 0.3
        legs.append(
            Leg(
                side=side,
                hip=hip + root,
                knee=knee + root,
                ankle=ankle + root,
                foot_pitch=pitch,
                stations=stations,
                path=path,
            )
        )
    return Skeleton(body=body, pose=pose, root=root, legs=(legs[0], legs[1]))


def _arm_angles(skeleton: Skeleton, mode: Arm, phase: float) -> tuple[float, float, float, float]:
    """Flexion and abduction of the shoulder, flexion of the elbow, inward turn of the forearm."""
    swing, beat = skeleton.pose.swing, float(np.sin(phase))
    if mode == "swing":
        spread = 0.14 + 0.10 * (skeleton.body.girth - 1)
        return 0.42 * swing * beat - 0.03, spread, 0.28 + 0.22 * swing * max(0.0, beat), 0.25
    if mode == "carry":
        return 0.05 * beat, 0.16, 0.10, 0.0
    fixed: dict[Arm, tuple[float, float, float, float]] = {
        "pocket": (-0.18, 0.28, 0.75, 0.55),
        "phone": (0.62, 0.30, 2.35, -0.15),
        "look": (0.55, 0.12, 1.45, 0.75),
        "strap": (0.15, 0.32, 2.05, 0.75),
        "back": (-0.45, 0.30, 1.0, 1.0),
    }
    return fixed[mode]


def _arm(skeleton: Skeleton, side: int, mode: Arm, phase: float) -> ArmPose:
    body, torso = skeleton.body, skeleton.torso
    tall = body.height
    upper_length, lower_length = 0.172 * tall * body.arm, 0.148 * tall * body.arm
    flexion, abduction, bend, inward = _arm_angles(skeleton, mode, phase)
    behind = mode == "back"
    down = np.array([0.0, 0.0, -1.0])
    upper_local = rotation("y", -side * abduction) @ rotation("x", flexion) @ down
    turned = flexion - 0.35 * bend if behind else flexion + bend
    lower_local = rotation("z", side * inward) @ rotation("x", turned) @ down
    if not behind:
        lower_local = unit(lower_local + np.array([side * abduction * 0.35, 0.0, 0.0]))
    upper_arm, forearm = torso @ upper_local, torso @ lower_local
    width = skeleton.shoulder_width
    socket = np.array([side * width * 0.92, -0.004 * tall, -0.022 * tall])
    shoulder = skeleton.shoulders + torso @ socket
    elbow = shoulder + upper_length * upper_arm
    wrist = elbow + lower_length * forearm
    start = shoulder + torso @ np.array([-side * 0.022 * tall, 0.0, 0.012 * tall])
    stations, path = bent_path(start, elbow, wrist, upper_length / (upper_length + lower_length))
    hinge = cross(upper_arm, forearm)
    size = float(np.linalg.norm(hinge))
    side_axis = hinge / max(size, 1e-9) * (1 if hinge[0] > 0 else -1)
    return ArmPose(
        side=side,
        wrist=wrist,
        hand=wrist + forearm * 0.06 * tall,
        forearm=forearm,
        # A straight arm has no hinge.
        axis_x=torso[:, 0] if size < 0.15 else side_axis,
        stations=stations,
        path=path,
    )


def head_half_height(body: Body) -> float:
    """Half the height of the head in metres: tall people have relatively small heads."""
    return 0.0635 * body.height * body.head * float((_MEAN_HEIGHT / body.height) ** 0.5)
