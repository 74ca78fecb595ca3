"""Every public thread that asks for one of these has its test, which names it.

Requirements: M1 heads in any form, by name; M2 some or all of them at a shared cost; M3 any number of streams of any
rank, type and form; M4 heads of every kind; M5 unused streams and whole numbers; B1 every framework; B2 no rules per
layer; N1 sums; N2 seeds; R1 bounded memory; R2 loaders; T1 attention as arrays; P1 explanations on disk.
"""

import ast
from pathlib import Path

import pytest

pytestmark = pytest.mark.all_frameworks
HERE = Path(__file__).parent

ASKED: dict[str, tuple[str, str]] = {
    "shap/shap#2436": ("M1", "several_heads.three_inputs_and_four_heads"),
    "shap/shap#439": ("M1", "several_heads.no_head_is_given_the_map_of_another"),
    "shap/shap#2868": ("M1", "several_heads.a_keras_model_of_several_outputs"),
    "shap/shap#2009": ("M2", "several_heads.one_head_of_many_costs_what_one_costs"),
    "shap/shap#559": ("M3", "inputs.a_convolutional_network_of_several_inputs"),
    "shap/shap#857": ("M3", "inputs.a_list_of_inputs_for_methods_that_ask_for_predictions_alone"),
    "shap/shap#964": ("M3", "inputs.wide_and_deep"),
    "shap/shap#1001": ("M3", "inputs.an_image_and_a_vector"),
    "shap/shap#1331": ("M3", "inputs.inputs_of_different_rank"),
    "shap/shap#739": ("M3", "inputs.a_sequence_and_static_inputs"),
    "shap/shap#4025": ("M3", "inputs.a_torch_model_of_a_list_of_tensors"),
    "shap/shap#891": ("M3", "inputs.a_network_of_image_text_and_numbers"),
    "shap/shap#2130": ("M3", "inputs.one_data_frame_for_several_streams"),
    "shap/shap#1735": ("M3", "inputs.wide_and_deep"),
    "shap/shap#3672": ("B1", "frameworks.keras_3_with_several_inputs_and_heads"),
    "shap/shap#885, #548, #1055": ("B1", "frameworks.keras_3_with_several_inputs_and_heads"),
    "shap/shap#1490, #1193, #1406, #1079": ("B2", "frameworks.layers_need_no_rules"),
    "shap/shap#3438": ("B2", "frameworks.gelu_layer_norm_and_identity"),
    "shap/shap#2141": ("B1", "frameworks.jax_and_its_libraries"),
    "shap/shap#213, #2526": ("M4", "outputs.outputs_of_three_axes"),
    "shap/shap#1401, #444": ("M3", "inputs.series_for_methods_that_ask_for_predictions_alone"),
    "shap/shap#3476, #2785, #2875, #930": ("N1", "sums.sums_and_what_is_left_of_them"),
    "shap/shap#4239": ("N1", "sums.trees_sum_to_their_own_answers"),
    "shap/shap#306": ("R1", "memory.rows_at_once_are_bounded_by_memory"),
    "shap/shap#4839": ("R1", "memory.two_hundred_calls_leave_no_hook_and_no_tensor"),
    "shap/shap#2291": ("R1", "memory.two_hundred_calls_leave_no_hook_and_no_tensor"),
    "shap/shap#4062": ("P1", "outputs.explanations_are_saved_and_loaded"),
    "shap/shap#295, #2118, #2122": ("P1", "outputs.explanations_are_saved_and_loaded"),
    "shap/shap#1010, #1835, #2095, #2547": ("N2", "seeds.equal_seeds_give_equal_results"),
    "emdgroup/baybe#751": ("B1", "frameworks.outputs_of_one_column"),
    "captum#444, #308, #642, #665, #1230": ("M1", "several_heads.heads_in_every_form"),
    "captum#1215": ("M1", "several_heads.a_layer_that_returns_a_tuple"),
    "captum#612": ("M2", "several_heads.all_heads_share_what_a_model_is_asked"),
    "captum#389, #741": ("M4", "outputs.a_regression_of_several_steps"),
    "captum#1196": ("M3", "inputs.a_model_of_a_mapping"),
    "captum#1312, #550, #928": ("M3", "inputs.embeddings_beside_other_inputs_of_other_shapes"),
    "captum#732, #1080, #1141, #1493": ("M5", "inputs.an_unused_input_has_zeros_and_is_named"),
    "captum#836, #282, #439, #448": ("M5", "inputs.whole_numbers_are_explained_at_their_embedding"),
    "captum#538, #245, #632": ("R1", "memory.rows_at_once_are_bounded_by_memory"),
    "captum#1350": ("R1", "memory.rows_at_once_are_bounded_by_memory"),
    "captum#1055": ("R1", "memory.two_hundred_calls_leave_no_hook_and_no_tensor"),
    "captum#494": ("R2", "memory.every_method_reads_a_data_loader"),
    "captum#1334": ("N1", "sums.the_gap_falls_with_the_work_and_a_tolerance_is_kept"),
    "captum#1413": ("N1", "sums.input_and_baseline_can_be_swapped"),
    "captum#351": ("N1", "sums.products_have_no_delta"),
    "captum#742": ("N2", "seeds.expected_gradients_have_a_seed"),
    "captum#328, #564, #1159": ("B2", "frameworks.a_recurrent_network_in_either_mode"),
    "captum#1240": ("B2", "frameworks.no_double_precision_is_handed_over"),
    "captum#577, #712, #792, #857": ("B2", "frameworks.layers_that_no_table_knows_and_errors_that_name_layers"),
    "alibi#343": ("M1", "several_heads.integrated_gradients_of_several_tasks_sum_to_the_change_of_each"),
    "alibi#316, #321, #495": ("M3", "inputs.integrated_gradients_of_several_inputs"),
    "Quantus#233": ("M4", "outputs.many_labels_at_once"),
    "Quantus#215, #324, #51": ("M4", "outputs.scores_do_not_ask_for_pictures"),
    "xplique#137": ("R1", "memory.rows_at_once_are_bounded_by_memory"),
    "pytorch-forecasting#1277, #951, #1044": ("T1", "attention.attention_as_numbers_for_every_quantile"),
    "darts#2489, #675, #849": ("T1", "attention.attention_as_numbers_for_every_quantile"),
    "keras#19303, #21601": ("T1", "attention.scores_of_symbolic_tensors_and_of_layers_built_without"),
    "keras-hub#1644, #2213": ("T1", "attention.attention_of_an_encoder_and_of_cached_attention"),
}
"""Threads -> the requirement, and the test without its ``test_``."""


def _docstring(test: str) -> str:
    """What a test says of itself, on one line; "" where there is no such test."""
    file, name = test.split(".")
    tree = ast.parse((HERE / f"test_{file}.py").read_text())
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == f"test_{name}"]
    return " ".join((ast.get_docstring(found[0]) or "").split()) if found else ""


@pytest.mark.parametrize("threads", ASKED)
def test_a_thread_has_a_test_that_names_it(threads):
    _, test = ASKED[threads]
    said = _docstring(test)
    repository, first, *more = threads.replace("#", " #", 1).replace(",", "").split()
    assert said, f"there is no test called {test}, or it says nothing of itself"
    assert repository in said
    assert all(number in said for number in (first, *more))


def test_every_requirement_is_asked_for():
    assert {requirement for requirement, _ in ASKED.values()} == {
        *("M1", "M2", "M3", "M4", "M5", "B1", "B2", "N1", "N2", "R1", "R2", "T1", "P1")
    }
    tests = {
        f"{path.stem.removeprefix('test_')}.{node.name.removeprefix('test_')}"
        for path in HERE.glob("test_*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and path != Path(__file__)
    }
    assert {test for _, test in ASKED.values()} <= tests
