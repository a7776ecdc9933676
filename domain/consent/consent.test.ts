import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { allows, consentEndMs, consentRefusal, readConsent } from "./consent.ts";

const noon = Date.UTC(2026, 2, 15, 12);

describe("consent", () => {
  it("allows its own purpose until the end of the stated day and not a millisecond longer", () => {
    const consent = { purpose: "marketing", until: "2026-03-15" };
    expect(allows(consent, "marketing", noon)).toBe(true);
    expect(allows(consent, "marketing", Date.UTC(2026, 2, 16) - 1)).toBe(true);
    expect(consentRefusal(consent, "marketing", Date.UTC(2026, 2, 16))).toBe("expired");
    expect(consentRefusal(consent, "profiling", noon)).toBe("other purpose");
  });

  it("reads times with their zone as the same instant", () => {
    const end = Date.UTC(2026, 2, 15, 10, 30);
    expect(consentEndMs("2026-03-15T10:30:00Z")).toBe(end);
    expect(consentEndMs("2026-03-15T12:30:00+02:00")).toBe(end);
    expect(consentEndMs("2026-03-15T05:00:00-05:30")).toBe(end);
    expect(allows({ purpose: "m", until: end }, "m", end)).toBe(true);
    expect(allows({ purpose: "m", until: end }, "m", end + 1)).toBe(false);
    expect(allows({ purpose: "m", until: null }, "m", noon)).toBe(true);
  });

  it("refuses whatever is absent or malformed", () => {
    expect(consentRefusal(undefined, "m", noon)).toBe("absent");
    expect(consentRefusal(null, "m", noon)).toBe("absent");
    for (const until of ["", "soon", "2026-02-30", "2026-13-01", "2026-03-15T10:30:00", "15.03.2027", Number.NaN, Infinity, -5, 0, true, [], {}, undefined]) {
      expect(consentRefusal({ purpose: "m", until }, "m", noon)).toBe("malformed");
    }
    expect(consentRefusal({ purpose: "", until: null }, "m", noon)).toBe("malformed");
    expect(consentRefusal({ purpose: ["m"], until: null }, "m", noon)).toBe("malformed");
    expect(consentRefusal({ purpose: "m" }, "m", noon)).toBe("malformed");
    expect(consentRefusal({ purpose: "m", until: null }, "m", Number.NaN)).toBe("malformed");
    expect(consentRefusal(Object.create({ purpose: "m", until: null }), "m", noon)).toBe("malformed");
  });

  it("takes an empty cell for no consent", () => {
    expect(readConsent("marketing", "")).toBeNull();
    expect(readConsent(" ", "2027-01-01")).toBeNull();
    expect(readConsent("marketing", "31/12/2027")).toBeNull();
    expect(readConsent("marketing", "2027-01-01")).toEqual({ purpose: "marketing", until: "2027-01-01" });
    expect(readConsent("marketing", "1830297600000")).toEqual({ purpose: "marketing", until: 1_830_297_600_000 });
  });

  it("never throws and never allows anything arbitrary", () => {
    fc.assert(fc.property(fc.anything({ withNullPrototype: true }), (value) => !allows(value, "a purpose nobody named", noon)));
  });
});
