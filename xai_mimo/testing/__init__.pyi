from .adapter_contract import check_adapter as check_adapter
from .backends import check_backends as check_backends
from .layer_contract import check_layer as check_layer
from .method_contract import check_method as check_method
from .metric_contract import check_metric as check_metric
