"""Studies, comparisons, searches and rankings over many runs, and tests of significance."""

from typing import TYPE_CHECKING

from labelcontrast.doors import lazy_names

if TYPE_CHECKING:
    from labelcontrast.lab.comparison import fit_baseline as fit_baseline
    from labelcontrast.lab.comparison import fit_frozen_baseline as fit_frozen_baseline
    from labelcontrast.lab.comparison import run_comparison as run_comparison
    from labelcontrast.lab.comparison_report import write_comparison as write_comparison
    from labelcontrast.lab.pipeline import Options as Options
    from labelcontrast.lab.ranks import Ranking as Ranking
    from labelcontrast.lab.ranks import rank_comparisons as rank_comparisons
    from labelcontrast.lab.ranks import rank_losses as rank_losses
    from labelcontrast.lab.search import run_search as run_search
    from labelcontrast.lab.search import write_search as write_search
    from labelcontrast.lab.search_space import Range as Range
    from labelcontrast.lab.search_space import SearchedLoss as SearchedLoss
    from labelcontrast.lab.search_space import parse_range as parse_range
    from labelcontrast.lab.search_space import plan_search as plan_search
    from labelcontrast.lab.significance import Difference as Difference
    from labelcontrast.lab.significance import holm as holm
    from labelcontrast.lab.significance import paired_test as paired_test
    from labelcontrast.lab.significance import permute_examples as permute_examples
    from labelcontrast.lab.significance import permute_seeds as permute_seeds
    from labelcontrast.lab.study import Study as Study
    from labelcontrast.lab.study import find_study as find_study
    from labelcontrast.lab.study import plan_study as plan_study
    from labelcontrast.lab.study import study_catalogue as study_catalogue
    from labelcontrast.lab.study_report import run_study as run_study
    from labelcontrast.lab.study_report import write_study as write_study

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "comparison": ["fit_baseline", "fit_frozen_baseline", "run_comparison"],
        "comparison_report": ["write_comparison"],
        "pipeline": ["Options"],
        "ranks": ["Ranking", "rank_comparisons", "rank_losses"],
        "search": ["run_search", "write_search"],
        "search_space": ["Range", "SearchedLoss", "parse_range", "plan_search"],
        "significance": ["Difference", "holm", "paired_test", "permute_examples", "permute_seeds"],
        "study": ["Study", "find_study", "plan_study", "study_catalogue"],
        "study_report": ["run_study", "write_study"],
    },
)
