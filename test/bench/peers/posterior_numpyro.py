"""numpyro on a small hierarchical logistic regression: means and standard deviations of the posterior, by the no-U-turn sampler in doubles."""
import jax
import numpyro
import numpyro.distributions as dist
from jax import numpy as jnp
from numpyro.diagnostics import effective_sample_size
from numpyro.infer import MCMC, NUTS

numpyro.enable_x64()


def model(group_sd, base_sd, design, group, responses, exposures):
    scale = numpyro.sample("scale", dist.HalfNormal(group_sd).to_event(1))
    free = numpyro.sample("free", dist.Normal(0.0, 1.0).expand([group.shape[0]]).to_event(1))
    beta = numpyro.deterministic("beta", free * jnp.where(group < 0, base_sd, scale[jnp.maximum(group, 0)]))
    numpyro.sample("responses", dist.Binomial(total_count=exposures, logits=design @ beta).to_event(1), obs=responses)


class Posterior:
    def __init__(self, design, group, responses, exposures, args):
        self.data, self.args = (jnp.asarray(design), jnp.asarray(group), jnp.asarray(responses), jnp.asarray(exposures)), args

    def run(self):
        args = self.args
        sampler = MCMC(NUTS(model, target_accept_prob=0.95), num_warmup=args["warmup"], num_samples=args["samples"], num_chains=args["chains"], chain_method="sequential", progress_bar=False)
        sampler.run(jax.random.PRNGKey(args["seed"]), jnp.asarray(args["groupSd"]), args["baseSd"], *self.data)
        beta = sampler.get_samples()["beta"]
        limits = jnp.quantile(beta, jnp.asarray([0.05, 0.95]), axis=0)
        return {"mean": beta.mean(axis=0).tolist(), "sd": beta.std(axis=0).tolist(), "low": limits[0].tolist(), "high": limits[1].tolist(), "effective": jnp.asarray(effective_sample_size(sampler.get_samples(group_by_chain=True)["beta"])).min().item()}


def prepare(arrays, args):
    return Posterior(arrays["design"], arrays["group"], arrays["responses"], arrays["exposures"], args)
