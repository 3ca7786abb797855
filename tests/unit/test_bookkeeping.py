"""What a column's name says: a measurement of cells, or where, when and how they were measured."""

import gzip

import pytest

from phenorep import bookkeeping

CELLPROFILER = [
    "ImageNumber",
    "ObjectNumber",
    "TableNumber",
    "Image_Group_Index",
    "Image_Group_Number",
    "Group_Index",
    "Group_Length",
    "Number_Object_Number",
    "Nuclei_Number_Object_Number",
    "Parent_Nuclei",
    "Cells_Parent_Nuclei",
    "Children_Cytoplasm_Count",
    "Cells_Children_Cytoplasm_Count",
    "Location_Center_Z",
    "Nuclei_Location_Center_X",
    "Mean_Nuclei_Location_Center_X",
    "Location_CenterMassIntensity_X_DNA",
    "Cells_Location_MaxIntensity_Z_ER",
    "AreaShape_Center_Y",
    "Nuclei_AreaShape_Center_X",
    "Cells_AreaShape_BoundingBoxMaximum_Y",
    "ExecutionTime_12MeasureTexture",
    "Image_ExecutionTime_01Images",
    "Image_ModuleError_03Align",
    "PathName_DNA",
    "Image_FileName_DNA",
    "URL_DNA",
    "Image_URL_OrigDNA",
    "MD5Digest_DNA",
    "Image_MD5Digest_OrigDNA",
    "Scaling_DNA",
    "Image_Scaling_OrigDNA",
    "Image_Height_DNA",
    "Image_Width_DNA",
    "Series_DNA",
    "Image_Frame_DNA",
    "Image_Metadata_Foo",
    "Neighbors_FirstClosestObjectNumber_Adjacent",
    "TrackObjects_ParentObjectNumber_50",
    "TrackObjects_Label_50",
    "Cells_ObjectNumber",
]
# Harmony, Columbus, MetaXpress, IN Carta, ImageJ, QuPath, scikit-image, pycytominer, and what one writes by hand.
OTHERS = [
    *("Object No", "Nuclei Selected - Object No in Cells", "Position X [µm]", "Nuclei - Position Y [µm]", "Bounding Box"),
    *("Time [s]", "Absolute Time [s]", "Global Image ID", "Number of Analyzed Fields", "Plate ID", "Site ID", "Object #"),
    *("Cell: Assigned Label #", "Stage Position", "Nuclei cg X", "X", "Y", "XM", "BY", "FeretX", "Slice", "Centroid X µm"),
    *("Centroid Y μm", "Centroid X px", "Object ID", "ROI", "centroid-0", "bbox-3", "label", "metadata_plate", "METADATA_x"),
    *(
        "Unnamed: 0",
        "Unnamed: 0.1",
        "level_0",
        "index",
        "id",
        "PlateID",
        "compound_id",
        "Row",
        "col",
        "well",
        "plate",
        "Site",
    ),
    *("WellRow", "plate_row", "row_number", "Replicate", "batch", "Concentration", "conc", "dose_uM", "Concentration (uM)"),
    *("Dose [µM]", "log_dose", "mmoles_per_liter", "timestamp", "Timepoint", "Date", "cell_id", "cellid", "id_x"),
    # Amounts, answers as numbers, numbers of rows, places, what an image was.
    *("Konzentration", "concentración", "Dosis", "dose_level", "DoseLevel", "[c] uM", "Concentration 1 (µM)", "cmpdConc"),
    *("mg_per_ml", "stock_conc_mM", "dose_index", "Concentation_uM", "moa_idx", "compound_idx", "cpd_idx", "is_control"),
    *("compound", "rowname", "row_names", "rownames", "...1", "index_x", "x_center", "pos_x", "PosX", "X Position"),
    *("Z Position", "xmin", "x_max", "Left", "Top", "Centroid_row", "Tile_X", "tile", "cx", "crop_x", "box", "coords", "xy"),
    *("crop_box", "image_size", "input_ids", "epoch", "AcquisitionTime", "ExposureTime", "img_width", "crop_height"),
]
MEASUREMENTS = [
    "Cells_Texture_InfoMeas1_DNA_3_00_256",
    "Nuclei_AreaShape_Compactness",
    "RadialDistribution_MeanFrac_DNA_1of4",
    "Count_Nuclei",
    "Area",
    "Nuclei_Distance_Centroid_Cells",
    "Nuclei_Intensity_MassDisplacement_DNA",
    "Cells_Neighbors_NumberOfNeighbors_Adjacent",
    "Nuclei_Neighbors_FirstClosestDistance_1",
    "Nuclei_Neighbors_AngleBetweenNeighbors_1",
    "Image_Count_Cells",
    "Cells_Count_Count",
    "Height",
    "Image_Threshold_FinalThreshold_Nuclei",
    "Image_ImageQuality_PowerLogLogSlope_DNA",
    "Cells_AreaShape_Zernike_2_0",
    "Width",
    "StdDev",
    "AreaShape_CentralMoment_0_0",
    "Nuclei_Correlation_Manders_AGP_DNA",
    "TrackObjects_DistanceTraveled_50",
    "0",
    "1",
    "511",
    "f_12",
    "emb_3",
    "feature_7",
    "dim_1",
    "efficientnet_5",
    "X_1",
    "z_3",
    "PC1",
    "UMAP_1",
    "e1",
    "embedding",
    "embedding[0]",
    "n_cells",
    "cell_count",
    "Perim.",
    "Feret",
    "FeretAngle",
    "MinFeret",
    "IntDen",
    "mitotic_index",
    "proliferation_index",
    "shape_index",
    "eccentricity",
    "mean_intensity-0",
    "Nuclei_Texture_3",
    "wellness",
    "image_0",
    "group_norm_3",
    "Intensity_Edge_Time_DNA",
    *("max", "left_right_ratio", "is_mitotic", "dose_response_slope", "cum", "c", "Contrast", "x1", "V1", "box_score"),
]
PHRASES = ["Nucleus: Area µm^2", "Cell: DAPI mean", "Nuclei - Number of Objects", "Cell Count", "Detection probability"]


def test_names_of_bookkeeping():
    assert [name for name in [*CELLPROFILER, *OTHERS] if not bookkeeping.is_bookkeeping(name)] == []


def test_names_of_measurements():
    assert [name for name in [*MEASUREMENTS, *PHRASES] if bookkeeping.is_bookkeeping(name)] == []


def test_of_nine_hundred_published_features_the_places_and_parents_are_none(shared_data):
    file = min((shared_data / "cpjump1").glob("*.csv.gz"))
    with gzip.open(file, "rt") as text:
        names = [name for name in text.readline().strip().split(",") if not name.startswith("Metadata_")]
    assert len(names) == 904
    assert list(filter(bookkeeping.is_bookkeeping, names)) == [
        "Cells_AreaShape_BoundingBoxMaximum_Y",
        "Cells_Parent_Nuclei",
        "Nuclei_AreaShape_BoundingBoxArea",
        "Nuclei_AreaShape_BoundingBoxMinimum_X",
    ]


@pytest.mark.parametrize(
    ("names", "embedded", "left_out"),
    [
        (["x1", "y1", "x2", "y2", "area"], False, ["x1", "y1", "x2", "y2"]),
        (["x1", "x2", "x3", "y1"], False, []),
        (["x1", "x2"], False, []),
        (["width", "Height", "e"], True, ["width", "Height"]),
        (["width", "Height", "e"], False, []),
    ],
)
def test_names_that_other_columns_explain(names, embedded, left_out):
    assert bookkeeping.among(names, embedded) == left_out


def test_numbers_of_objects():
    named = ["ObjectNumber", "Nuclei_Number_Object_Number", "Object No", "cell_id", "Metadata_ObjectNumber"]
    assert all(map(bookkeeping.numbers_objects, named))
    assert not any(map(bookkeeping.numbers_objects, ["ImageNumber", "Nuclei_Area", "n_cells", "Cells_Neighbors_Number"]))


def test_a_very_long_name_takes_no_time():
    assert not bookkeeping.is_bookkeeping("children_" * 20_000)
