/** The one class of density-clustering 1.3 that is used; the package ships no types. */
declare module "density-clustering" {
  export class DBSCAN {
    noise: number[];
    run(rows: readonly (readonly number[])[], epsilon: number, minPoints: number): number[][];
  }
}
