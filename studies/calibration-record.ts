// Written by `npm run calibrate`; a test holds `code` to the sources it names (test/calibration/record.ts).
import type { CalibrationFamily } from "./calibration.ts";

/** Every posterior of the product against known truth, as the model code of this hash left it. */
export const CALIBRATION: { readonly code: string; readonly families: readonly CalibrationFamily[] } = {
  "code": "80cde5a4f23a6f16bfdfeda4ebef896d2c97afa616b015bd4a21dab354c22224",
  "families": [
    {
      "name": "binary trait (Beta)",
      "method": "ranks",
      "what": "500 truths among 99 draws; smallest p of 1",
      "figure": 0.206629,
      "bound": 0.01,
      "passed": true,
      "ranks": [
        {
          "parameter": "share",
          "counts": [58, 48, 43, 55, 41, 62, 51, 44, 59, 39],
          "pValue": 0.206629
        }
      ]
    },
    {
      "name": "categorical trait (Dirichlet)",
      "method": "ranks",
      "what": "500 truths among 99 draws; smallest p of 3",
      "figure": 0.437274,
      "bound": 0.00333333,
      "passed": true,
      "ranks": [
        {
          "parameter": "level 1",
          "counts": [47, 48, 44, 53, 40, 45, 47, 58, 63, 55],
          "pValue": 0.437274
        },
        {
          "parameter": "level 2",
          "counts": [60, 45, 53, 49, 44, 50, 56, 42, 51, 50],
          "pValue": 0.794391
        },
        {
          "parameter": "level 3",
          "counts": [52, 53, 44, 51, 55, 50, 40, 46, 54, 55],
          "pValue": 0.864494
        }
      ]
    },
    {
      "name": "count trait (Gamma)",
      "method": "ranks",
      "what": "500 truths among 99 draws; smallest p of 1",
      "figure": 0.691081,
      "bound": 0.01,
      "passed": true,
      "ranks": [
        {
          "parameter": "rate",
          "counts": [54, 50, 51, 38, 49, 46, 50, 54, 61, 47],
          "pValue": 0.691081
        }
      ]
    },
    {
      "name": "continuous trait (Normal-Inverse-Gamma)",
      "method": "ranks",
      "what": "500 truths among 99 draws; smallest p of 2",
      "figure": 0.397688,
      "bound": 0.005,
      "passed": true,
      "ranks": [
        {
          "parameter": "mean",
          "counts": [54, 37, 48, 56, 53, 42, 48, 54, 58, 50],
          "pValue": 0.570792
        },
        {
          "parameter": "variance",
          "counts": [37, 54, 47, 44, 50, 56, 46, 60, 47, 59],
          "pValue": 0.397688
        }
      ]
    },
    {
      "name": "simulated and real (robust mixture)",
      "method": "ranks",
      "what": "500 truths among 99 draws; smallest p of 1",
      "figure": 0.204439,
      "bound": 0.01,
      "passed": true,
      "ranks": [
        {
          "parameter": "rate",
          "counts": [55, 35, 47, 56, 59, 53, 48, 55, 55, 37],
          "pValue": 0.204439
        }
      ]
    },
    {
      "name": "exchange rate (grid)",
      "method": "coverage",
      "what": "a0 overall, of 2 channels and 4 classes of 10 cells; 3500 truths inside 90 % intervals, 0.87 to 0.94",
      "figure": 0.899143,
      "bound": 0.87,
      "passed": true,
      "ranks": []
    },
    {
      "name": "response model (hierarchical logistic)",
      "method": "ranks",
      "what": "500 truths among 99 draws; smallest p of 4",
      "figure": 0.0954257,
      "bound": 0.0025,
      "passed": true,
      "ranks": [
        {
          "parameter": "intercept",
          "counts": [44, 60, 57, 52, 42, 50, 53, 44, 51, 47],
          "pValue": 0.723804
        },
        {
          "parameter": "persona",
          "counts": [42, 59, 49, 48, 46, 42, 60, 52, 62, 40],
          "pValue": 0.239266
        },
        {
          "parameter": "interaction",
          "counts": [44, 65, 45, 48, 46, 46, 41, 50, 60, 55],
          "pValue": 0.307077
        },
        {
          "parameter": "scale",
          "counts": [68, 45, 47, 65, 49, 50, 45, 44, 41, 46],
          "pValue": 0.0954257
        }
      ]
    },
    {
      "name": "economic value (hierarchical log-normal)",
      "method": "ranks",
      "what": "500 truths among 99 draws; smallest p of 2",
      "figure": 0.12962,
      "bound": 0.005,
      "passed": true,
      "ranks": [
        {
          "parameter": "often seen",
          "counts": [59, 52, 37, 51, 47, 48, 68, 51, 41, 46],
          "pValue": 0.12962
        },
        {
          "parameter": "rarely seen",
          "counts": [35, 43, 45, 61, 45, 61, 52, 53, 46, 59],
          "pValue": 0.140453
        }
      ]
    },
    {
      "name": "logistic fit (corrected Laplace)",
      "method": "limits",
      "what": "n 100, 1,000, 10,000, rates 1, 10, 50 %, and half and one and a half times as many responses; largest distance of a 5 % or 95 % limit from the exact posterior's, points",
      "figure": 0.831773,
      "bound": 2,
      "passed": true,
      "ranks": []
    },
    {
      "name": "sequential update (assumed density)",
      "method": "limits",
      "what": "half of the rows after the other half, n and rates as above; largest distance of a 5 % or 95 % limit from the exact posterior's, points",
      "figure": 1.69478,
      "bound": 2,
      "passed": true,
      "ranks": []
    },
    {
      "name": "simulated and real, capped",
      "method": "coverage",
      "what": "power prior at max(50, real / 5) beside a vague part; 500 truths inside 90 % intervals, 0.87 to 1",
      "figure": 0.94,
      "bound": 0.87,
      "passed": true,
      "ranks": []
    },
    {
      "name": "real outcomes with a half-life",
      "method": "coverage",
      "what": "half-life of 3 periods of 50 outcomes, a rate that wanders by 0.1 logit a period; 500 truths inside 90 % intervals, 0.85 to 1",
      "figure": 0.894,
      "bound": 0.85,
      "passed": true,
      "ranks": []
    }
  ]
};
