"""How many threads linear algebra has while a run goes on."""

from types import SimpleNamespace

from threadpoolctl import threadpool_info, threadpool_limits

from bayes_net.workflow import analysis


def threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_linear_algebra_has_one_thread_while_models_are_fitted_and_tabulated(monkeypatch):
    seen = []
    monkeypatch.setattr(analysis, "sampled", lambda *_args, **_how: seen.append(threads()) or (None, None))
    model = SimpleNamespace(
        label="one", alone=True, fit=None, judged=None, finished=lambda *_: SimpleNamespace(fit=None)
    )

    def tables(_fits, _steps):
        seen.append(threads())
        return {analysis.DIAGNOSTICS: analysis._failed("none", ValueError())}

    prepared = SimpleNamespace(
        models=lambda brief=False: (model,),
        n_refits=0,
        plan=SimpleNamespace(sampling=SimpleNamespace(seed=1, retry=False)),
        sampler=None,
        synthetic=False,
        tables=tables,
    )
    with threadpool_limits(2, user_api="blas"):
        analysis.analyse(prepared)
        assert seen == [{1}, {1}]
        assert threads() == {2}
