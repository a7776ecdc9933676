import { describe, expect, it } from "vitest";
import { principalComponents } from "./principal-components.ts";

const EXPECTED_COORDINATES = [
  [0.6551024082920773, -0.09869566682443424],
  [-1.2327601513263193, -0.9269317177127505],
  [2.542964967910474, 0.7295403840638821],
  [-4.008059115010302, 1.716497052308225],
];
const EXPECTED_EXPLAINED = [0.8418321509976283, 0.15816784900237194];

describe("principalComponents", () => {
  it("agrees with numpy's eigendecomposition of a weighted covariance", () => {
    // numpy 2: c = np.cov(x.T, aweights=w, bias=True); np.linalg.eigh(c); coordinates = (x - np.average(x, axis=0, weights=w)) @ v
    const points = [[1, 2, 0.5], [2, 1, -1], [0, 3, 2], [4, -2, 0.3]];
    const weights = [0.4, 0.3, 0.2, 0.1];
    const { coordinates, explained } = principalComponents(points, weights);
    EXPECTED_COORDINATES.forEach((expected, row) => expected.forEach((value, axis) => expect(coordinates[row][axis]).toBeCloseTo(value, 9)));
    expect(explained[0]).toBeCloseTo(EXPECTED_EXPLAINED[0], 9);
    expect(explained[1]).toBeCloseTo(EXPECTED_EXPLAINED[1], 9);
  });

  it("gives zeros for one point, for no columns and for equal points", () => {
    expect(principalComponents([[3, 4]], [1]).coordinates).toEqual([[0, 0]]);
    expect(principalComponents([[], []], [1, 1]).coordinates).toEqual([[0, 0], [0, 0]]);
    expect(principalComponents([[1, 1], [1, 1]], [1, 1]).explained).toEqual([0, 0]);
  });
});
