"""Images of a MuJoCo scene without OpenGL: MuJoCo casts one ray per pixel, this module shades hits.

It draws geoms, sites and tendons in their colors, the floor's checker pattern, lights and the gradient of the sky. It
omits shadows, reflections, gloss, transparency, skins, finer textures and antialiasing.
Shapes: P pixels, row by row from the top left; K of them that show an object; M marks: sites and pieces of tendons.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import mujoco
import numpy as np

MAX_RAY_LENGTH = 1e10  # meters
GEOM, PLANE = mujoco.mjtObj.mjOBJ_GEOM, mujoco.mjtGeom.mjGEOM_PLANE
SKYBOX, COLOR = mujoco.mjtTexture.mjTEXTURE_SKYBOX, mujoco.mjtTextureRole.mjTEXROLE_RGB
SPOT, DIRECTIONAL = mujoco.mjtLightType.mjLIGHT_SPOT, mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
HORIZON_FACES = [0, 1, 4, 5]  # faces of a sky's box that show the horizon


class Hits(NamedTuple):
    """The first object on each ray: its number or -1 (P,), its distance (P,), its surface normal (P, 3)."""

    object_id: np.ndarray
    distance: np.ndarray
    normal: np.ndarray


class RayCamera:
    """A camera of a dm_control physics. A call returns its image of the current state, uint8 (size, size, 3)."""

    def __init__(self, physics: Any, camera: int, size: int):
        self.model, self.data, self.camera, self.size = physics.model.ptr, physics.data.ptr, camera, size
        self.option, self.view = mujoco.MjvOption(), mujoco.MjvCamera()
        self.option.flags[mujoco.mjtVisFlag.mjVIS_RANGEFINDER] = False  # as in the suite
        self.view.type, self.view.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, camera
        self.scene = mujoco.MjvScene(self.model, maxgeom=1000 + self.model.ngeom)
        self.pinhole = pinhole(size, self.model.cam_fovy[camera])
        self.min_radius = np.tan(np.deg2rad(self.model.cam_fovy[camera]) / 2) / size  # half a pixel at distance 1
        self.gradient, self.planes = gradient(self.model), checkers(self.model)
        self.rotation = np.zeros((3, 3))
        self.rays, self.lines, self.sky = self.pinhole, columns(self.pinhole), columns(self.pinhole)

    def __call__(self) -> np.ndarray:
        eye, everything = self.data.cam_xpos[self.camera], mujoco.mjtCatBit.mjCAT_ALL
        self._rotate(self.data.cam_xmat[self.camera].reshape(3, 3))
        mujoco.mjv_updateScene(self.model, self.data, self.option, None, self.view, everything, self.scene)
        drawn = self.scene.geoms[: self.scene.ngeom]
        marks = [mark for mark in drawn if mark.objtype != GEOM]
        hits = self._cast(eye)
        if marks:
            self._draw_marks(hits, marks, eye)
        return self._shade(hits, eye, self._colors(drawn, marks))

    def _rotate(self, rotation: np.ndarray) -> None:
        """If the camera has turned, update the directions of the rays (P, 3), also as (3, P), and the sky."""
        if (rotation != self.rotation).any():
            self.rotation, self.rays = rotation.copy(), self.pinhole @ rotation.T
            self.lines = columns(self.rays)
            side = np.maximum(np.abs(self.rays[:, :2]).max(1), 1e-9)
            depth = (1 - np.clip(self.rays[:, 2] / side, -1, 1)) / 2
            self.sky = np.take(self.gradient, (depth * (self.gradient.shape[1] - 1)).astype(int), axis=1)

    def _cast(self, eye: np.ndarray) -> Hits:
        """Return the hits with the visible geoms."""
        p, groups = len(self.rays), self.option.geomgroup
        hits = Hits(np.empty(p, np.int32), np.empty(p), np.empty((p, 3)))
        object_id, distance, normal = hits.object_id, hits.distance, hits.normal.ravel()
        with without_body_bounds(self.model) as model:
            mujoco.mj_multiRay(
                model,
                self.data,
                eye,
                self.rays.ravel(),
                groups,
                True,
                -1,
                object_id,
                distance,
                normal,
                p,
                MAX_RAY_LENGTH,
            )
        distance[object_id < 0] = np.inf
        return hits

    def _draw_marks(self, hits: Hits, marks: list, eye: np.ndarray) -> None:
        """Replace hits behind a mark by the mark: an ellipsoid of its size, at least a pixel thick."""
        center = np.array([mark.pos for mark in marks], float) - eye
        half = np.maximum([mark.size for mark in marks], self.min_radius * np.linalg.norm(center, axis=1)[:, None])
        turn = np.array([np.asarray(mark.mat).reshape(3, 3).T for mark in marks])
        pixel, mark = lines_near_spheres(center, half.max(1), self.lines)
        shrink = (turn / half[..., None])[mark]  # to a sphere of radius 1
        ray, start = np.einsum("kij,kj->ki", shrink, self.rays[pixel]), -np.einsum("kij,kj->ki", shrink, center[mark])
        distance, met = enter_unit_sphere(start, ray)
        order = np.argsort(-distance)  # the nearest of several marks in a pixel is written last
        order = order[met[order] & (distance[order] < hits.distance[pixel[order]])]
        pixel, distance = pixel[order], distance[order]
        normal = np.einsum("kij,ki->kj", shrink[order], start[order] + ray[order] * distance[:, None])
        hits.object_id[pixel], hits.distance[pixel] = self.model.ngeom + mark[order], distance
        hits.normal[pixel] = normal / np.linalg.norm(normal, axis=1, keepdims=True)

    def _shade(self, hits: Hits, eye: np.ndarray, colors: np.ndarray) -> np.ndarray:
        """Return the image: colors in the light of all lights, and the sky where no ray hits."""
        shown = np.flatnonzero(hits.object_id >= 0)
        object_id, normal = hits.object_id[shown], columns(hits.normal[shown])
        offset = np.take(self.lines, shown, axis=1) * hits.distance[shown].astype(np.float32)
        point = offset + eye.astype(np.float32)[:, None]
        for number, plane in enumerate(self.planes):
            on = np.flatnonzero(object_id == plane.geom)
            first = colors.shape[1] - 4 * (len(self.planes) - number)
            object_id[on] = first + plane.quarter(self.data, point[:, on])
        light: Any = sum(light_at(source, point, normal) for source in self.scene.lights[: self.scene.nlight])
        image = self.sky.copy()
        image[:, shown] = np.take(colors, object_id, axis=1) * light
        return np.minimum(image * 255, 255).T.astype(np.uint8, order="C").reshape(self.size, self.size, 3)

    def _colors(self, drawn: list, marks: list) -> np.ndarray:
        """Return colors (3, N) by object number: geoms, marks, then four quarters of each checkered plane."""
        geoms = np.zeros((self.model.ngeom, 3), np.float32)
        for geom in drawn:
            if geom.objtype == GEOM:
                geoms[geom.objid] = geom.rgba[:3]
        rows = [geoms, *(mark.rgba[None, :3] for mark in marks)]
        return columns(np.concatenate([*rows, *(geoms[plane.geom] * plane.quarters for plane in self.planes)]))


class Checker(NamedTuple):
    """A plane with a texture: its geom, the mean colors of the texture's quarters (4, 3), their width in meters.

    The texture starts in the corner with the smallest x and the largest y.
    """

    geom: int
    quarters: np.ndarray
    width: float
    corner: np.ndarray

    def quarter(self, data: Any, point: np.ndarray) -> np.ndarray:
        """Return the quarters, 0 to 3, that points (3, K) are on."""
        axes = data.geom_xmat[self.geom].reshape(3, 3)[:, :2].astype(np.float32)
        x, y = axes.T @ (point - data.geom_xpos[self.geom].astype(np.float32)[:, None])
        right, down = np.floor((self.corner[0] + x) / self.width), np.floor((self.corner[1] - y) / self.width)
        return 2 * (down.astype(np.int32) & 1) + (right.astype(np.int32) & 1)


def columns(rows: np.ndarray) -> np.ndarray:
    """Return vectors (K, 3) as float32 (3, K), for which arithmetic is faster."""
    return rows.T.astype(np.float32, order="C")


@contextlib.contextmanager
def without_body_bounds(model: Any) -> Iterator[Any]:
    """The model without bounding volumes: they enclose only geoms that collide, and rays would miss the others."""
    bounds = model.body_bvhadr.copy()
    model.body_bvhadr[:] = -1
    try:
        yield model
    finally:
        model.body_bvhadr[:] = bounds


def pinhole(size: int, fovy: float) -> np.ndarray:
    """Return unit directions (P, 3) through the centers of the pixels: x to the right, y up, the view along -z."""
    across = (2 * np.arange(size) + 1 - size) / size * np.tan(np.deg2rad(fovy) / 2)
    x, y = np.meshgrid(across, -across)
    rays = np.stack([x, y, -np.ones_like(x)], -1).reshape(-1, 3)
    return rays / np.linalg.norm(rays, axis=1, keepdims=True)


def texture(model: Any, index: int) -> np.ndarray:
    """Return the colors (H, W, 3) of a texture."""
    shape = model.tex_height[index], model.tex_width[index], model.tex_nchannel[index]
    start = model.tex_adr[index]
    return model.tex_data[start : start + np.prod(shape)].reshape(shape)[..., :3] / np.float32(255)


def gradient(model: Any) -> np.ndarray:
    """Return the colors (3, H) of the sky from top to bottom; black if the model has no sky."""
    boxes = np.flatnonzero(model.tex_type == SKYBOX)
    if not len(boxes):
        return np.zeros((3, 1), np.float32)
    box = texture(model, boxes[0])
    faces = box.reshape(-1, box.shape[1], box.shape[1], 3)
    return columns(faces[HORIZON_FACES].mean((0, 2)))


def checkers(model: Any) -> list[Checker]:
    """Return the planes of a model that have a texture."""
    result = []
    for geom in np.flatnonzero((model.geom_type == PLANE) & (model.geom_matid >= 0)):
        material = model.geom_matid[geom]
        if (index := model.mat_texid[material, COLOR]) >= 0:
            colors = texture(model, index)
            height, width = (side // 2 for side in colors.shape[:2])
            quarters = colors[: 2 * height, : 2 * width].reshape(2, height, 2, width, 3).mean((1, 3)).reshape(4, 3)
            repeat, corner = model.mat_texrepeat[material, 0], model.geom_size[geom, :2].astype(np.float32)
            result.append(Checker(int(geom), quarters, 1 / float(repeat), corner))
    return result


def light_at(light: Any, point: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Return the light (3, K) of one light source at points (3, K) with normals (3, K)."""
    ambient, diffuse = light.ambient[:, None], light.diffuse[:, None]
    if light.type == DIRECTIONAL:
        return ambient + diffuse * np.maximum(-light.dir @ normal, 0)
    beam = point - light.pos[:, None]
    beam /= np.sqrt((beam * beam).sum(0))
    strength = np.maximum(-(normal * beam).sum(0), 0)
    if light.type == SPOT:
        middle = np.maximum(light.dir @ beam, 0)
        strength *= (middle > np.cos(np.deg2rad(light.cutoff))) * middle**light.exponent
    return ambient + diffuse * strength


def lines_near_spheres(center: np.ndarray, radius: np.ndarray, lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of a line (3, P) and a sphere (M, 3), (M,) that it crosses: line numbers and sphere numbers."""
    along, room = center.astype(np.float32) @ lines, (center**2).sum(1) - radius**2
    mark, pixel = np.divmod(np.flatnonzero(along * along > room.astype(np.float32)[:, None]), lines.shape[1])
    return pixel, mark


def enter_unit_sphere(start: np.ndarray, ray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intersect rays (K, 3) from `start` (K, 3) with the unit sphere: distance in ray lengths, and whether they hit."""
    a, b, c = (ray**2).sum(1), (ray * start).sum(1), (start**2).sum(1) - 1
    root = b**2 - a * c
    distance = (-b - np.sqrt(np.maximum(root, 0))) / a
    return distance, (root > 0) & (distance > 0)
